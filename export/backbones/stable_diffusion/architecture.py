"""What Stable Diffusion 1.5 is made of, in the words of diffusers and transformers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from transformers import CLIPTextConfig, CLIPVisionConfig

Config: TypeAlias = Mapping[str, Any]

# Pixels of a frame per cell of the UNet's coarsest grid: 8 of the VAE, then three halvings.
COARSEST_STRIDE = 64


@dataclass(frozen=True)
class Architecture:
    """Configurations of the networks, and the side of the windows that they see.

    unet, vae: of diffusers' UNet2DConditionModel and AutoencoderKL; `vae_scale` brings its latents
    to unit variance. text, vision: CLIP's text encoder and the captioner's image encoder.
    """

    unet: Config
    vae: Config
    text: CLIPTextConfig
    vision: CLIPVisionConfig
    window: int = 512
    vae_scale: float = 0.18215


SD15 = Architecture(
    unet={"block_out_channels": (320, 640, 1280, 1280), "cross_attention_dim": 768},
    vae={
        "block_out_channels": (128, 256, 512, 512),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 2,
    },
    text=CLIPTextConfig(
        hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12
    ),
    vision=CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        patch_size=14,
        image_size=336,
        projection_dim=768,
    ),
)
