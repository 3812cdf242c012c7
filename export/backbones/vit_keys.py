"""Checkpoints of vision transformers: many ways to name the same tensors, brought to one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from torch import Tensor

from ...runtime.errors import GeoAwareError

# The patch embedding, by which a network is found inside a larger one: the originals' and timm's
# name, transformers' for DINOv2 and for DINOv3.
ANCHORS = (
    "patch_embed.proj.weight",
    "embeddings.patch_embeddings.projection.weight",
    "embeddings.patch_embeddings.weight",
)

RENAMES = (
    (r"^embeddings\.", ""),
    (r"^(?:patch_embed\.proj|patch_embeddings(?:\.projection)?)\.", "patch."),
    (r"^(?:pos_embed|position_embeddings)$", "position"),
    (r"^(?:storage_tokens|reg_token|register_tokens)$", "registers"),
    (r"^(?:encoder\.layer|model\.layer|layer)\.", "blocks."),
    (r"^layernorm\.", "norm."),
    (r"\.attn\.", ".attention."),
    (r"\.attention\.attention\.", ".attention."),
    (r"\.attention\.query\.", ".attention.q_proj."),
    (r"\.attention\.key\.", ".attention.k_proj."),
    (r"\.attention\.value\.", ".attention.v_proj."),
    (r"\.attention\.(?:proj|output\.dense)\.", ".attention.o_proj."),
    (r"\.(?:ls|gamma_)([12])(?:\.gamma)?$", r".layer_scale\1.lambda1"),
    (r"\.mlp\.(?:w3|weights_out)\.", ".mlp.down_proj."),
)

# What some keep as one matrix, and its parts from the first row on.
FUSED = (
    (r"\.attention\.qkv\.", (".attention.q_proj.", ".attention.k_proj.", ".attention.v_proj.")),
    (r"\.mlp\.(?:w12|weights_in)\.", (".mlp.gate_proj.", ".mlp.up_proj.")),
)


def renamed(state: Mapping[str, Tensor], depth: int) -> dict[str, Tensor]:
    """A checkpoint with the keys of `VisionTransformer`, without the blocks from `depth` on.

    It may be in the format of the original, of timm or of any version of transformers, and may
    stand behind a prefix such as `module.` beside other things, which are left out.

    Raises GeoAwareError where it holds more than one such network.
    """
    prefix = _prefix(state)
    result = {}
    for key, value in state.items():
        if not key.startswith(prefix):
            continue
        for name, part in _split(_rename(key.removeprefix(prefix)), value):
            block = re.match(r"blocks\.(\d+)\.", name)
            if not block or int(block[1]) < depth:
                result[name] = part
    return result


def _prefix(state: Mapping[str, Tensor]) -> str:
    found = sorted(
        key.removesuffix(anchor) for key in state for anchor in ANCHORS if key.endswith(anchor)
    )
    if len(found) > 1:
        raise GeoAwareError(
            f"these weights hold {len(found)} vision transformers "
            f"(keys begin with {', '.join(map(repr, found))}); save the one that is meant alone"
        )
    return found[0] if found else ""


def _rename(key: str) -> str:
    for pattern, replacement in RENAMES:
        key = re.sub(pattern, replacement, key)
    return key


def _split(key: str, value: Tensor) -> Iterator[tuple[str, Tensor]]:
    for pattern, names in FUSED:
        if re.search(pattern, key) and value.ndim:
            for name, part in zip(names, value.chunk(len(names)), strict=False):
                yield re.sub(pattern, name, key), part
            return
    yield key, value
