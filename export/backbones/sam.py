"""SAM's image encoder: a ViT that attends inside windows, and across the image in four blocks.

Architecture: "Segment Anything" (Kirillov et al., ICCV 2023), after ViTDet (Li et al., ECCV 2022);
decomposed relative positions of MViTv2 (Li et al., CVPR 2022, equation 4).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import SamVisionConfig
from transformers.models.sam.modeling_sam import SamMLPBlock, SamVisionNeck

from ...runtime.errors import InputError
from ...runtime.recipe import BackboneUse
from ..state_dict import load_into
from .sam_keys import of_encoder

PATCH = 16
TAP = "neck"

SIZES: Mapping[str, dict[str, Any]] = {
    "sam-b": {"global_attn_indexes": [2, 5, 8, 11]},
    "sam-l": {
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "global_attn_indexes": [5, 11, 17, 23],
    },
    "sam-h": {
        "hidden_size": 1280,
        "num_hidden_layers": 32,
        "num_attention_heads": 16,
        "global_attn_indexes": [7, 15, 23, 31],
    },
}


class Attention(nn.Module):
    """Attention over side x side tokens whose scores depend on their offsets, too.

    Score of a query at (y, x) for a key at (v, u): q·k / sqrt(d) + q·R_h[y - v] + q·R_w[x - u].
    The last two are products of q with tables, and picked by the key's place alone. So they join
    q as channels that meet a one-hot code of the place in k: one plain product, and no tensor of
    offsets as large as the scores (0.8 GB each in SAM-B at 1024 pixels).
    """

    def __init__(self, width: int, heads: int, side: int) -> None:
        super().__init__()
        self.heads, self.channels = heads, width // heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        for name in ("rel_pos_h", "rel_pos_w"):
            table = 0.02 * torch.randn(2 * side - 1, self.channels)
            self.register_buffer(name, offsets_folded(table, side))
        rows = torch.eye(side).repeat_interleave(side, 0)
        columns = torch.eye(side).repeat(side, 1)
        self.register_buffer("places", torch.cat([rows, columns], 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, side, side, width) to the same."""
        batch, side, _, width = x.shape
        qkv = self.qkv(x).reshape(batch, side * side, 3, self.heads, self.channels)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        on_grid = q.reshape(batch, self.heads, side, side, self.channels)
        down = on_grid @ self.rel_pos_h
        across = (on_grid.transpose(2, 3) @ self.rel_pos_w).transpose(2, 3)
        q = torch.cat([q * self.channels**-0.5, down.flatten(2, 3), across.flatten(2, 3)], -1)
        k = torch.cat([k, self.places.expand(batch, self.heads, -1, -1)], -1)
        x = (q @ k.transpose(2, 3)).softmax(-1) @ v
        return self.proj(x.transpose(1, 2).reshape(batch, side, side, width))


class Block(nn.Module):
    """A transformer block; with a window, tokens see those of their own window only."""

    def __init__(self, config: SamVisionConfig, grid: int, window: int) -> None:
        super().__init__()
        width, eps = config.hidden_size, config.layer_norm_eps
        self.window = window
        self.layer_norm1, self.layer_norm2 = (nn.LayerNorm(width, eps=eps) for _ in range(2))
        self.attn = Attention(width, config.num_attention_heads, window or grid)
        self.mlp = SamMLPBlock(config)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, grid, grid, width) to the same."""
        y = self.layer_norm1(x)
        x = x + (self._in_windows(y) if self.window else self.attn(y))
        return x + self.mlp(self.layer_norm2(x))

    def _in_windows(self, x: Tensor) -> Tensor:
        """Attention inside windows from the top left; zeros fill up the last ones."""
        grid, width, window = x.shape[1], x.shape[3], self.window
        count = -(-grid // window)
        missing = count * window - grid
        x = F.pad(x, (0, 0, 0, missing, 0, missing))
        x = x.reshape(-1, count, window, count, window, width).transpose(2, 3)
        x = self.attn(x.reshape(-1, window, window, width))
        x = x.reshape(-1, count, count, window, window, width).transpose(2, 3)
        return x.reshape(-1, count * window, count * window, width)[:, :grid, :grid]


class SamEncoder(nn.Module):
    """The image encoder; its one tap, `neck`, is what SAM's mask decoder works on.

    Of the config `image_size` is the frame's side, whatever side the weights were made for.
    """

    mean = (123.675 / 255, 116.28 / 255, 103.53 / 255)
    std = (58.395 / 255, 57.12 / 255, 57.375 / 255)

    def __init__(self, config: SamVisionConfig) -> None:
        super().__init__()
        width, grid = config.hidden_size, config.image_size // PATCH
        self.patch_embed = nn.Conv2d(3, width, PATCH, stride=PATCH)
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, grid, grid, width))
        everywhere = set(config.global_attn_indexes)
        self.layers = nn.ModuleList(
            Block(config, grid, 0 if index in everywhere else config.window_size)
            for index in range(config.num_hidden_layers)
        )
        self.neck = SamVisionNeck(config)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(batch, 3, side, side), normalised, to [(batch, 256, side / 16, side / 16)]."""
        x = self.patch_embed(image).permute(0, 2, 3, 1) + self.pos_embed
        for layer in self.layers:
            x = layer(x)
        return [self.neck(x)]

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Load weights as the original, transformers or a fine-tuned copy names them.

        Positions are interpolated to this frame's side: the absolute ones bicubically without
        antialiasing, the relative ones of global attention linearly, as SAM itself does.
        Raises GeoAwareError for weights of another architecture.
        """
        own = self.state_dict()
        fitted = of_encoder(state)
        for key, value in fitted.items():
            if key == "pos_embed" and value.ndim == 4:
                fitted[key] = _bicubic(value.float(), own[key].shape[1])
            elif re.search(r"\.rel_pos_[hw]$", key) and key in own and value.ndim == 2:
                fitted[key] = offsets_folded(value.float(), own[key].shape[0])
        load_into(self, fitted)


def load(
    states: Mapping[str, Mapping[str, Tensor]] | None, use: BackboneUse, side: int
) -> SamEncoder:
    """The encoder of a size (`sam-b`, `sam-l`, `sam-h`) for frames of this side.

    Raises InputError for another tap than `neck` or a side that is no multiple of 16,
    GeoAwareError for weights of another architecture.
    """
    if unknown := [tap.at for tap in use.taps if tap.at != TAP]:
        raise InputError(f"{use.name} has no tap {unknown[0]!r}; it has one, {TAP}")
    if len(use.taps) > 1:
        raise InputError(f"{use.name} has one tap, {TAP}; name it once")
    if side % PATCH:
        raise InputError(f"{use.name} needs a frame side divisible by {PATCH}, not {side}")
    encoder = SamEncoder(SamVisionConfig(image_size=side, **SIZES[use.name]))
    if states is not None:
        encoder.load(states["model"])
    return encoder.eval()


def offsets_folded(table: Tensor, side: int) -> Tensor:
    """A table of offsets (2 n - 1, channels) for side positions: (query, channels, key)."""
    resized = F.interpolate(table.T[None], size=2 * side - 1, mode="linear")[0]
    places = torch.arange(side)
    offsets = places[:, None] - places[None, :] + side - 1
    return resized[:, offsets].permute(1, 0, 2).contiguous()


def _bicubic(positions: Tensor, grid: int) -> Tensor:
    """Positions (1, n, n, width) for a grid of another size."""
    if positions.shape[1:3] == (grid, grid):
        return positions
    channels_first = positions.permute(0, 3, 1, 2)
    size = (grid, grid)
    resized = F.interpolate(channels_first, size=size, mode="bicubic", align_corners=False)
    return resized.permute(0, 2, 3, 1).contiguous()
