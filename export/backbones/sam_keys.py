"""The names of SAM's tensors: the original's, transformers', and those of fine-tuned copies."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

Renames = Sequence[tuple[str, str]]

_ENCODER: Renames = (
    (r"^patch_embed\.proj(ection)?\.", "patch_embed."),
    (r"^blocks\.", "layers."),
    (r"\.norm([12])\.", r".layer_norm\1."),
    (r"^neck\.0\.", "neck.conv1."),
    (r"^neck\.1\.", "neck.layer_norm1."),
    (r"^neck\.2\.", "neck.conv2."),
    (r"^neck\.3\.", "neck.layer_norm2."),
)
_DECODER: Renames = (
    (r"^(shared_image|prompt_encoder\.shared)_embedding\.positional_embedding$", "frequencies"),
    (r"^prompt_encoder\.point_embed\.", "kinds."),
    (r"^prompt_encoder\.(not_a_point|no_mask)_embed\.", r"\1."),
)
_ORIGINAL_DECODER: Renames = (
    (r"^prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix$", "frequencies"),
    (r"^prompt_encoder\.point_embeddings\.", "kinds."),
    (r"\.norm(\d|_final_attn)\.", r".layer_norm\1."),
    (r"\.output_upscaling\.0\.", ".upscale_conv1."),
    (r"\.output_upscaling\.1\.", ".upscale_layer_norm."),
    (r"\.output_upscaling\.3\.", ".upscale_conv2."),
    (r"\.(output_hypernetworks_mlps\.\d|iou_prediction_head)\.layers\.0\.", r".\1.proj_in."),
    (r"\.(output_hypernetworks_mlps\.\d|iou_prediction_head)\.layers\.2\.", r".\1.proj_out."),
    (r"\.(output_hypernetworks_mlps\.\d|iou_prediction_head)\.layers\.1\.", r".\1.layers.0."),
)


def of_encoder(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The image encoder's tensors of a SAM, or of the encoder alone, as `SamEncoder` names them."""
    return _renamed(_beside(state, r"patch_embed\.proj(ection)?\.weight"), _ENCODER)


def of_decoder(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a whole SAM, those of the decoder as `MaskDecoder` names them."""
    found = _beside(state, r"mask_decoder\.iou_token\.weight")
    original = any(key.startswith("prompt_encoder.pe_layer.") for key in found)
    return _renamed(found, (*_DECODER, *(_ORIGINAL_DECODER if original else ())))


def _beside(state: Mapping[str, Tensor], key: str) -> dict[str, Tensor]:
    """The tensors whose names begin as that of the key (a pattern) does, without that beginning.

    The beginning differs from checkpoint to checkpoint: `image_encoder.`, `module.`, …
    """
    found = [match for name in state if (match := re.fullmatch(rf"(.*?){key}", name))]
    prefix = found[0][1] if found else ""
    return {name[len(prefix) :]: x for name, x in state.items() if name.startswith(prefix)}


def _renamed(state: Mapping[str, Tensor], renames: Renames) -> dict[str, Tensor]:
    found = {}
    for key, value in state.items():
        for pattern, name in renames:
            key = re.sub(pattern, name, key)
        found[key] = value
    return found
