"""DINOv2: a vision transformer on patches of 14 pixels (Oquab et al., TMLR 2024)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Dinov2Config, Dinov2Model

from ...runtime.errors import GeoAwareError
from ...runtime.recipe import BackboneUse
from .vit import VisionTransformer, check_side, tap_names

PATCH = 14

SIZES: dict[str, dict[str, Any]] = {
    "dinov2-s": {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6},
    "dinov2-b": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12},
    "dinov2-l": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16},
    "dinov2-g": {
        "hidden_size": 1536,
        "num_hidden_layers": 40,
        "num_attention_heads": 24,
        "use_swiglu_ffn": True,
    },
}

# What the original adds to the size of the grid against rounding. It moves the samples as well.
OFFSET = 0.1


class DinoV2(VisionTransformer):
    """DINOv2 of a config whose `image_size` is the frame side."""

    def __init__(self, config: Dinov2Config, taps: Sequence[str]) -> None:
        network = Dinov2Model(config)
        embeddings = network.embeddings
        patch = embeddings.patch_embeddings.projection
        super().__init__(taps, patch, network.encoder.layer, network.layernorm)
        self.grid = config.image_size // config.patch_size
        self.cls_token = embeddings.cls_token
        self.position = embeddings.position_embeddings

    def embed(self, patches: Tensor) -> Tensor:
        """A class token in front, and positions added to it and to the patches."""
        cls_token = self.cls_token.expand(patches.shape[0], -1, -1)
        return torch.cat([cls_token, patches], dim=1) + self.position

    def adapt(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Positions brought to this frame's grid."""
        if "position" in state:
            state["position"] = interpolate_position(state["position"], self.grid)
        return state


def interpolate_position(position: Tensor, grid: int) -> Tensor:
    """A position embedding (1, 1 + n², c) for another grid, (1, 1 + grid², c), class token first.

    Bicubic (a = -0.75), half-pixel centres, no antialiasing, at scale (grid + 0.1) / n, and as it
    is on its own grid: what the published DINOv2 and its users do. transformers' Dinov2Model
    samples at scale grid / n instead: their embeddings differ by a few percent.

    Raises GeoAwareError where the embedding's own grid is no square.
    """
    own = math.isqrt(max(position.shape[1] - 1, 0)) if position.ndim == 3 else 0
    if not own or own**2 != position.shape[1] - 1:
        raise GeoAwareError(
            f"a position embedding of shape {tuple(position.shape)} "
            "is not that of a class token and a square grid"
        )
    if own == grid:
        return position
    cells = position[:, 1:].float().unflatten(1, (own, own)).permute(0, 3, 1, 2)
    cells = F.interpolate(cells, scale_factor=(grid + OFFSET) / own, mode="bicubic")
    return torch.cat([position[:, :1].float(), cells.flatten(2).transpose(1, 2)], dim=1)


def load(states: Mapping[str, Mapping[str, Tensor]] | None, use: BackboneUse, side: int) -> DinoV2:
    """DINOv2 of the size `use` names, for frames of this side.

    Weights: the original's, timm's or transformers' checkpoints, or fine-tuned ones.
    """
    check_side(use, side, PATCH)
    config = Dinov2Config(
        **SIZES[use.name], patch_size=PATCH, image_size=side, attn_implementation="sdpa"
    )
    network = DinoV2(config, tap_names(use))
    if states is not None:
        network.load_checkpoint(states["model"])
    return network.eval()
