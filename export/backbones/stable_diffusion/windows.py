"""A frame cut into overlapping windows, and their features put together again."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .architecture import COARSEST_STRIDE


def offsets(side: int, window: int) -> list[int]:
    """Where windows begin along a side: evenly spread, on cells of the coarsest grid.

    960 pixels in windows of 512 begin at 0 and 448; a side that fits in a window has one, at 0.
    """
    count = -(-side // window)
    cells = max(side - window, 0) // COARSEST_STRIDE
    return [round(index * cells / max(count - 1, 1)) * COARSEST_STRIDE for index in range(count)]


class Windows(nn.Module):
    """Cuts frames of `side` pixels into windows; stitches features of the given strides.

    Where windows overlap, their features are averaged. The average's weights are products of one
    weight along each axis, so stitching is one matrix product per axis.
    """

    def __init__(self, side: int, window: int, strides: Sequence[int]) -> None:
        super().__init__()
        self.window = min(side, window)
        self.offsets = offsets(side, window)
        for stride in strides:
            begins = [offset // stride for offset in self.offsets]
            matrix = _averages(side // stride, self.window // stride, begins)
            self.register_buffer(f"stitches{stride}", matrix, persistent=False)

    def cut(self, image: Tensor) -> Tensor:
        """(batch, c, side, side) to (batch * windows, c, window, window), row by row."""
        if len(self.offsets) == 1:
            return image
        parts = [
            image[:, :, y : y + self.window, x : x + self.window]
            for y in self.offsets
            for x in self.offsets
        ]
        return torch.stack(parts, dim=1).flatten(0, 1)

    def stitch(self, features: Tensor, stride: int) -> Tensor:
        """(batch * windows, c, h, w) to (batch, c, side / stride, side / stride)."""
        count = len(self.offsets)
        if count == 1:
            return features
        _, c, h, w = features.shape
        tiled = features.reshape(-1, count, count, c, h, w).permute(0, 3, 1, 4, 2, 5)
        stitches = self.get_buffer(f"stitches{stride}")
        return stitches @ tiled.reshape(-1, c, count * h, count * w) @ stitches.T


def _averages(cells: int, size: int, begins: Sequence[int]) -> Tensor:
    """(cells, len(begins) * size): the mean over the windows that hold a cell."""
    covers = torch.zeros(cells, len(begins), size)
    for index, begin in enumerate(begins):
        covers[begin : begin + size, index] = torch.eye(size)
    covers = covers.flatten(1)
    return covers / covers.sum(dim=1, keepdim=True)
