"""Images to the noisy latents that the UNet sees."""

from __future__ import annotations

from typing import Literal

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from .architecture import Config
from .group_norm import made_exact

LATENT_STRIDE = 8
TRAINING_STEPS = 1000
BETA_FIRST, BETA_LAST = 0.00085, 0.012


class LatentEncoder(nn.Module):
    """The VAE's encoder: the mean of its posterior, scaled; nothing is sampled."""

    def __init__(self, config: Config, scale: float) -> None:
        super().__init__()
        whole = AutoencoderKL(**config)
        self.encoder, self.quant_conv = made_exact(whole.encoder), whole.quant_conv
        self.scale = scale

    def forward(self, image: Tensor) -> Tensor:
        """(batch, 3, side, side) in [-1, 1] to (batch, 4, side / 8, side / 8)."""
        mean, _ = self.quant_conv(self.encoder(image)).chunk(2, dim=1)
        return mean * self.scale


class Noise(nn.Module):
    """The forward diffusion to a time step, with one noise for all images and windows.

    sqrt(a) z + sqrt(1 - a) n, a the product of 1 - beta up to the step, beta linear in its square
    root (Rombach et al., CVPR 2022). The noise is drawn from torch's CPU generator of `seed`.
    """

    def __init__(self, timestep: int | Literal["none"], seed: int, side: int) -> None:
        super().__init__()
        self.clean = timestep == "none"
        if timestep == "none":
            return
        kept = signal_share(timestep)
        draw = torch.randn(1, 4, side, side, generator=torch.Generator().manual_seed(seed))
        self.signal = kept**0.5
        self.register_buffer("noise", draw * (1 - kept) ** 0.5, persistent=False)

    def forward(self, latent: Tensor) -> Tensor:
        """(batch, 4, side, side) to the same, noised; as it is for time step "none"."""
        return latent if self.clean else latent * self.signal + self.noise


def signal_share(timestep: int) -> float:
    """The share of a latent's variance that is left at a time step: cumulative alpha."""
    roots = torch.linspace(BETA_FIRST**0.5, BETA_LAST**0.5, TRAINING_STEPS, dtype=torch.float64)
    return float((1 - roots**2)[: timestep + 1].prod())
