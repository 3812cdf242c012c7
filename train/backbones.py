"""A recipe's backbones in PyTorch: frames to raw taps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from ..export import graphs
from ..export.modules import reference_graphs
from ..export.weights import Weights
from ..runtime.errors import GeoAwareError
from ..runtime.recipe import Recipe
from .allocation import keep_freed_memory

PIXELS = 16 * 512**2  # of the frames that go through a GPU at once


class Backbones:
    """The backbones of a recipe, loaded: in fp32 on a CPU, in fp16 on a GPU.

    sides: of the frames that they see, one per backbone.
    """

    def __init__(self, recipe: Recipe, weights: Mapping[str, Weights], device: str) -> None:
        """Load the weights (by part) and move them to `cpu` or `cuda`.

        Raises InputError for taps that a backbone does not have, GeoAwareError for weights that
        do not fit it.
        """
        if device == "cpu":
            keep_freed_memory()
        self._device = device
        self.sides = [use.side or recipe.frame.side for use in recipe.backbones]
        dtype = torch.float16 if device == "cuda" else torch.float32
        # Convolutions over channels that lie together take a third of the time on a CPU.
        self._modules = [
            module.to(device, memory_format=torch.channels_last)
            for part in reference_graphs(recipe, weights, dtype)
            for module in part.module.modules()
            if isinstance(module, graphs.Taps)
        ]

    @property
    def batch(self) -> int:
        """How many frames of each side they are best given at once."""
        return max(1, PIXELS // max(self.sides) ** 2) if self._device == "cuda" else 1

    def taps(self, frames: Mapping[int, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Frames by side, (batch, 3, side, side) in [0, 1], to one (batch, c, h, w) per tap.

        Raises GeoAwareError where the GPU's memory does not suffice.
        """
        try:
            with torch.inference_mode():
                given = {side: self._moved(each) for side, each in frames.items()}
                made = [
                    tap.cpu().numpy()
                    for side, module in zip(self.sides, self._modules, strict=True)
                    for tap in module(given[side])
                ]
        except torch.OutOfMemoryError:
            raise GeoAwareError(
                "the GPU's memory does not suffice for the backbones; use --device cpu"
            ) from None
        return made

    def map_bytes(self) -> int:
        """The size of one image's taps as they are stored, float16."""
        blank = {side: np.zeros((1, 3, side, side), np.float32) for side in self.sides}
        return sum(2 * tap.size for tap in self.taps(blank))

    def _moved(self, frames: NDArray[np.float32]) -> torch.Tensor:
        return torch.from_numpy(frames).to(self._device, memory_format=torch.channels_last)
