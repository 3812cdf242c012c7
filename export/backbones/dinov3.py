"""DINOv3: a vision transformer on patches of 16 pixels, with registers and rotary positions.

Siméoni et al., "DINOv3", 2025 (arXiv 2508.10104).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DINOv3ViTConfig, DINOv3ViTModel

from ...runtime.recipe import BackboneUse
from .vit import VisionTransformer, check_side, tap_names

PATCH = 16

SIZES: dict[str, dict[str, Any]] = {
    "dinov3-s": {
        "hidden_size": 384,
        "intermediate_size": 1536,
        "num_hidden_layers": 12,
        "num_attention_heads": 6,
    },
    "dinov3-b": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
    },
    "dinov3-l": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
    },
}

PERIODS = "rope_embed.periods"

# The original's layers of an MLP as transformers' network names them.
MLP = {"fc1": "up_proj", "fc2": "down_proj"}


class DinoV3(VisionTransformer):
    """DINOv3 of a config whose `image_size` is the frame side."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: DINOv3ViTConfig, taps: Sequence[str]) -> None:
        network = DINOv3ViTModel(config)
        embeddings = network.embeddings
        super().__init__(taps, embeddings.patch_embeddings, network.model.layer, network.norm)
        self.grid = config.image_size // config.patch_size
        self.cls_token, self.registers = embeddings.cls_token, embeddings.register_tokens
        quarter = config.hidden_size // config.num_attention_heads // 4
        self._set_periods(config.rope_theta ** (torch.arange(quarter) / quarter))

    def embed(self, patches: Tensor) -> Tensor:
        """A class token and the registers in front."""
        extra = torch.cat([self.cls_token, self.registers], dim=1)
        return torch.cat([extra.expand(patches.shape[0], -1, -1), patches], dim=1)

    def run(self, block: nn.Module, tokens: Tensor) -> Tensor:
        """One block on all tokens; queries and keys of the patches are turned by position."""
        return block(tokens, position_embeddings=(self.cos, self.sin))

    def adapt(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Periods and biases as the checkpoint's format has them.

        The original keeps its periods, rounded to bfloat16, in the checkpoint: they are used.
        transformers' format has none; there they are computed, as transformers does.
        """
        quarter = self.cos.shape[-1] // 4
        if PERIODS in state and state[PERIODS].shape == (quarter,):
            self._set_periods(state.pop(PERIODS).float())
        state = {re.sub(r"(?<=\.mlp\.)fc[12]", lambda m: MLP[m[0]], k): v for k, v in state.items()}
        return _without_key_biases(_with_biases(_masked(state), len(self.blocks)))

    def _set_periods(self, periods: Tensor) -> None:
        """Cosines and sines (cells, head channels) of RoPE for patch centres in [-1, 1]."""
        centres = (torch.arange(self.grid) + 0.5) / self.grid * 2 - 1
        angles = 2 * math.pi * centres[:, None] / periods
        rows = angles[:, None].expand(-1, self.grid, -1)
        columns = angles[None].expand(self.grid, -1, -1)
        both = torch.cat([rows, columns], dim=-1).flatten(0, 1).tile(2)
        self.register_buffer("cos", both.cos(), persistent=False)
        self.register_buffer("sin", both.sin(), persistent=False)


def _masked(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The original's `bias_mask` multiplied in; it silences the keys' biases."""
    masks = {key: state.pop(key) for key in list(state) if key.endswith(".bias_mask")}
    for key, mask in masks.items():
        bias = key.removesuffix("_mask")
        if bias in state and state[bias].shape == mask.shape:
            state[bias] = state[bias] * mask
    return state


def _with_biases(state: dict[str, Tensor], depth: int) -> dict[str, Tensor]:
    """Zero for the biases of queries and values where a checkpoint has none at all.

    They are zero in the published weights, and timm leaves them out.
    """
    if any(re.search(r"\.[qkv]_proj\.bias$", key) for key in state):
        return state
    for index in range(depth):
        for part in ("q_proj", "v_proj"):
            weight = state.get(f"blocks.{index}.attention.{part}.weight")
            if weight is not None:
                state[f"blocks.{index}.attention.{part}.bias"] = weight.new_zeros(len(weight))
    return state


def _without_key_biases(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Keys have no bias here; one that is not zero stays, to be refused as left over."""
    return {
        key: value
        for key, value in state.items()
        if not key.endswith(".k_proj.bias") or value.any()
    }


def load(states: Mapping[str, Mapping[str, Tensor]] | None, use: BackboneUse, side: int) -> DinoV3:
    """DINOv3 of the size `use` names, for frames of this side.

    Weights: the original's, timm's or transformers' checkpoints, or fine-tuned ones.
    """
    check_side(use, side, PATCH)
    config = DINOv3ViTConfig(
        **SIZES[use.name],
        patch_size=PATCH,
        image_size=side,
        num_register_tokens=4,
        attn_implementation="sdpa",
    )
    network = DinoV3(config, tap_names(use))
    if states is not None:
        network.load_checkpoint(states["model"])
    return network.eval()
