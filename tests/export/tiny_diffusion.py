"""A Stable Diffusion of the real layer counts and hardly any width, and whole networks for it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from geoaware.export.backbones.stable_diffusion import StableDiffusion
from geoaware.export.backbones.stable_diffusion.architecture import Architecture
from geoaware.export.backbones.stable_diffusion.features import build
from geoaware.runtime.recipe import BackboneUse, Diffusion

TINY = Architecture(
    unet={
        "block_out_channels": (16, 32, 64, 64),
        "cross_attention_dim": 24,
        "attention_head_dim": 4,
        "norm_num_groups": 8,
    },
    vae={
        "block_out_channels": (8, 8, 16, 16),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 2,
        "norm_num_groups": 4,
    },
    text=CLIPTextConfig(
        hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
    ),
    vision=CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        patch_size=14,
        image_size=56,
        projection_dim=16,
    ),
    window=128,
)

# The entering channels of the up path's twelve modules: 1280, 640 and 320 of the real network.
ENTERING = [64] * 7 + [32] * 3 + [16] * 2


@cache
def networks() -> dict[str, torch.nn.Module]:
    """diffusers' and transformers' whole networks of the tiny architecture, by role."""
    torch.manual_seed(5)
    made = {
        "unet": UNet2DConditionModel(**TINY.unet),
        "vae": AutoencoderKL(**TINY.vae),
        "text_encoder": CLIPTextModel(TINY.text),
        "clip": CLIPVisionModelWithProjection(TINY.vision),
    }
    return {role: network.eval() for role, network in made.items()}


def states() -> dict[str, dict[str, Tensor]]:
    """Their state dicts, under the keys of published files."""
    found = {role: network.state_dict() for role, network in networks().items()}
    text = found["text_encoder"]
    found["text_encoder"] = {f"text_model.{key}": value for key, value in text.items()}
    return found


def made(
    given: dict[str, dict[str, Tensor]] | None,
    side: int = 128,
    taps: tuple[str, ...] = ("s5", "s4", "s3"),
    tokenizer: Path | None = None,
    **diffusion: object,
) -> StableDiffusion:
    """The tiny backbone of these weights."""
    use = BackboneUse(
        name="sd15", taps=[{"at": tap} for tap in taps], diffusion=Diffusion(**diffusion)
    )
    return build(TINY, given, use, side, tokenizer)


def image(side: int, batch: int = 2, seed: int = 0) -> Tensor:
    """Images in [-1, 1]: a smooth pattern, so that windows differ, and noise."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, 3, 5, 5, generator=generator) * 1.6 - 0.8
    smooth = torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear")
    return smooth + 0.2 * (torch.rand(batch, 3, side, side, generator=generator) - 0.5)
