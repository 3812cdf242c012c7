"""Backbones of every family that learns, a few channels wide, with checkpoints of theirs."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from transformers import SamVisionConfig
from transformers.models.sam.modeling_sam import SamVisionModel

from geoaware.export.backbones import dinov2, dinov3, entry, sam
from geoaware.runtime.recipe import BackboneUse, Tap
from geoaware.train.finetuning.unfreezing import Network

from ...export.original_vit import DEPTH, HEADS, WIDTH, random_state

SIZE = {"hidden_size": WIDTH, "num_hidden_layers": DEPTH, "num_attention_heads": HEADS}
SAM_SIZE = SIZE | {"window_size": 3, "global_attn_indexes": [DEPTH - 1], "output_channels": 16}


@dataclass(frozen=True)
class TinyBackbone:
    """side: it is fine-tuned at; other: a side it is built at; ending: of the names that learn
    whatever the number of blocks."""

    name: str
    tap: str
    side: int
    other: int
    blocks: str
    ending: str

    def load(self, state: dict[str, Tensor] | None, side: int | None = None) -> Network:
        use = BackboneUse(name=self.name, taps=(Tap(at=self.tap),))
        states = None if state is None else {"model": state}
        torch.manual_seed(0)
        return entry(self.name).load(states, use, side or self.side)

    def frames(self, side: int | None = None, count: int = 1) -> Tensor:
        generator = torch.Generator().manual_seed(1)
        side = side or self.side
        return torch.randn(count, 3, side, side, generator=generator)


FAMILIES = {
    "dinov2": TinyBackbone("dinov2-s", "norm", 70, 98, "blocks", "norm."),
    "dinov3": TinyBackbone("dinov3-s", "norm", 64, 80, "blocks", "norm."),
    "sam": TinyBackbone("sam-b", "neck", 64, 160, "layers", "neck."),
}


def shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on the small backbones are tiny."""
    monkeypatch.setitem(dinov2.SIZES, "dinov2-s", SIZE)
    monkeypatch.setitem(dinov3.SIZES, "dinov3-s", SIZE | {"intermediate_size": 4 * WIDTH})
    monkeypatch.setitem(sam.SIZES, "sam-b", SAM_SIZE)


def published(tiny: TinyBackbone) -> dict[str, Tensor]:
    """A checkpoint in the names of the family's authors, SAM's in those of transformers."""
    if tiny.name == "dinov2-s":
        return random_state(dinov2.PATCH, {"pos_embed": (1, 1 + 4**2, WIDTH)})
    if tiny.name == "dinov3-s":
        return _dinov3()
    torch.manual_seed(0)
    model = SamVisionModel(SamVisionConfig(image_size=128, **SAM_SIZE))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return {key: value.clone() for key, value in model.state_dict().items()}


def _dinov3() -> dict[str, Tensor]:
    state = random_state(dinov3.PATCH, {"storage_tokens": (1, 4, WIDTH)})
    periods = 100 ** (torch.arange(WIDTH // HEADS // 4) / (WIDTH // HEADS // 4))
    state["rope_embed.periods"] = periods.bfloat16().float() * 1.1  # not what would be computed
    for index in range(DEPTH):
        mask = torch.ones(3 * WIDTH)
        mask[WIDTH : 2 * WIDTH] = 0
        state[f"blocks.{index}.attn.qkv.bias_mask"] = mask
    return state
