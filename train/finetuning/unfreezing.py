"""What of a backbone learns: its last blocks and its final norm."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ...export.backbones.sam import SamEncoder
from ...export.backbones.sam_keys import of_encoder
from ...export.backbones.vit import VisionTransformer
from ...runtime.errors import InputError
from .sam_offsets import TABLES, make_trainable

Network = VisionTransformer | SamEncoder


def unfreeze(network: Network, count: int, source: Mapping[str, Tensor] | None) -> None:
    """Freeze a backbone but for its last `count` blocks and what it ends with.

    A DINO ends with its final layer norm, if the recipe taps it. SAM's encoder has no norm after
    its blocks; the neck stands there, two convolutions, each with a layer norm, the second of which
    is the last thing of all. The two convolutions make the space that is matched in, so the neck
    learns as a whole. SAM's relative positions belong to their block.

    What comes before the first parameter that learns asks for no gradient, so PyTorch keeps none of
    its activations.

    source: the checkpoint the weights are from; None for random ones.

    Raises InputError where there are fewer blocks, or nothing would learn.
    """
    blocks = network.layers if isinstance(network, SamEncoder) else network.blocks
    if count > len(blocks):
        raise InputError(f"blocks: {count} is more than the {len(blocks)} there are to the tap")
    ending = network.neck if isinstance(network, SamEncoder) else network.norm
    if count == 0 and ending is None:
        raise InputError("blocks: 0, and the recipe taps no final norm: nothing would learn")
    network.requires_grad_(False)
    learning = list(blocks[len(blocks) - count :])
    if isinstance(network, SamEncoder):
        _free_offsets(network, len(blocks) - count, source)
    for module in [*learning, *([ending] if ending is not None else [])]:
        module.requires_grad_(True)


def _free_offsets(encoder: SamEncoder, first: int, source: Mapping[str, Tensor] | None) -> None:
    published = of_encoder(source) if source is not None else {}
    for index in range(first, len(encoder.layers)):
        keys = {name: f"layers.{index}.attn.{name}" for name in TABLES}
        tables = {name: published[key] for name, key in keys.items() if key in published}
        make_trainable(encoder.layers[index].attn, tables)
