"""Windowed soft-argmax: the expected cell around the most similar one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .similarity import Float32, similarity_blocks, unit

Variant = Literal["zeroed", "cropped"]


@dataclass(frozen=True)
class SoftArgmax:
    """Settings of the estimator; `reference.window_softargmax` defines what they mean.

    window: `zeroed`: cells to each side of the peak, 0 for the whole grid;
        `cropped`: cells across, odd.
    temperature: divides the similarities before the softmax, > 0.
    """

    window: int
    temperature: float
    variant: Variant

    def __post_init__(self) -> None:
        if self.variant not in ("zeroed", "cropped"):
            raise ValueError(f"variant {self.variant!r} is neither 'zeroed' nor 'cropped'")
        if not (np.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"temperature {self.temperature} must be a number above 0")
        if self.window < 0:
            raise ValueError(f"window {self.window} must not be negative")
        if self.variant == "cropped" and self.window % 2 == 0:
            raise ValueError(f"window {self.window} must be odd for variant 'cropped'")

    @property
    def radius(self) -> int:
        """Cells to each side of the peak that keep their similarity."""
        return self.window if self.variant == "zeroed" else self.window // 2

    def covers(self, height: int, width: int) -> bool:
        """Whether every cell of the grid keeps its similarity, wherever the peak is."""
        whole_grid = self.variant == "zeroed" and self.window == 0
        return whole_grid or self.radius >= max(height, width) - 1


def expected_cells(
    similarity: Float32, peaks: NDArray[np.intp], width: int, setting: SoftArgmax
) -> Float32:
    """Expected cell (x, y) for similarities (k, H * W) with row-major peaks (k,): (k, 2).

    Only the window is visited. In variant `zeroed` every cell outside it has the same weight
    w0 = exp(0 / T), so with weights w inside and c ranging over cells,
    sum(w c) over the grid = w0 * sum(c) over the grid + sum((w - w0) c) over the window.
    In variant `cropped` w0 = 0.
    """
    height = similarity.shape[1] // width
    if setting.covers(height, width):
        ys, xs = np.arange(height)[None], np.arange(width)[None]
        inside, on_grid = similarity.reshape(-1, height, width), np.ones((1, 1, 1), np.bool_)
    else:
        ys, xs, on_grid = _window(peaks, height, width, setting.radius)
        index = ys.clip(0, height - 1)[:, :, None] * width + xs.clip(0, width - 1)[:, None, :]
        inside = np.take_along_axis(similarity, index.reshape(len(index), -1), axis=1)
        inside = inside.reshape(index.shape)

    zeroed = setting.variant == "zeroed"
    highest = inside.max(axis=(1, 2))
    highest = np.maximum(highest, 0) if zeroed else highest
    outside = np.exp(-highest / setting.temperature) if zeroed else np.zeros_like(highest)
    weights = np.exp((inside - highest[:, None, None]) / setting.temperature)
    weights = np.where(on_grid, weights - outside[:, None, None], 0)

    cells = height * width
    total = outside * cells + weights.sum(axis=(1, 2))
    x = outside * cells * (width - 1) / 2 + (weights.sum(axis=1) * xs).sum(axis=1)
    y = outside * cells * (height - 1) / 2 + (weights.sum(axis=2) * ys).sum(axis=1)
    return np.stack([x / total, y / total], axis=1).astype(np.float32)


def _window(
    peaks: NDArray[np.intp], height: int, width: int, radius: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
    """Rows (k, h), columns (k, w) around each peak, and which of them (k, h, w) are cells."""
    peak_y, peak_x = np.divmod(peaks, width)
    ys = peak_y[:, None] + np.arange(-min(radius, height - 1), min(radius, height - 1) + 1)
    xs = peak_x[:, None] + np.arange(-min(radius, width - 1), min(radius, width - 1) + 1)
    rows, columns = (ys >= 0) & (ys < height), (xs >= 0) & (xs < width)
    return ys, xs, rows[:, :, None] & columns[:, None, :]


def window_softargmax(
    queries: NDArray[np.floating],
    target: NDArray[np.floating],
    window: int,
    temperature: float,
    variant: Variant,
) -> Float32:
    """The fast counterpart of `reference.window_softargmax`: same arguments, (K, 2) float32."""
    setting = SoftArgmax(window, temperature, variant)
    queries, target = unit(queries), unit(target)
    cells = np.empty((len(queries), 2), np.float32)
    for part, similarity in similarity_blocks(queries, target):
        cells[part] = expected_cells(
            similarity, similarity.argmax(axis=1), target.shape[1], setting
        )
    return cells
