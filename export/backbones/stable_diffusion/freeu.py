"""FreeU (Si et al., CVPR 2024) without a Fourier transform."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Factors:
    """What half of the entering channels and the skip's low frequencies are multiplied by."""

    channels: float
    skip: float


# (b1, s1) where as many channels enter as the deepest level has, 1280; (b2, s2) where 640 do.
DEEPEST = Factors(channels=1.2, skip=0.9)
MIDDLE = Factors(channels=1.4, skip=0.2)


class FreeU(nn.Module):
    """Scales the first half of the channels and filters the skip, at one size.

    The filter multiplies the frequencies {-1, 0} x {-1, 0} of the spectrum by s and keeps the real
    part: x + (s - 1) P x, P the projection on four complex exponentials, hence two small matrix
    products with their cosines and sines.
    """

    def __init__(self, channels: int, side: int, factors: Factors) -> None:
        super().__init__()
        scale = torch.ones(1, channels, 1, 1)
        scale[:, : channels // 2] = factors.channels
        waves = _waves(side)
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("analysis", waves / side**2, persistent=False)
        self.register_buffer("synthesis", waves.T * (factors.skip - 1), persistent=False)

    def forward(self, hidden: Tensor, skip: Tensor) -> tuple[Tensor, Tensor]:
        """What enters (batch, channels, side, side), and the skip (batch, c, side, side)."""
        low = skip.flatten(2) @ self.analysis @ self.synthesis
        return hidden * self.scale, skip + low.reshape(skip.shape)


def _waves(side: int) -> Tensor:
    """(side * side, waves): cosines and sines of the filtered frequencies."""
    # On a grid of one cell the frequencies 0 and -1 are the same one.
    frequencies = (-1.0, 0.0) if side > 1 else (0.0,)
    steps = torch.arange(side, dtype=torch.float64) * (2 * math.pi / side)
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    angles = torch.stack([u * rows + v * columns for u in frequencies for v in frequencies], dim=-1)
    return torch.cat([angles.cos(), angles.sin()], dim=-1).flatten(0, 1).float()
