"""Windowed soft-argmax: the expected cell around the most similar one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from .dispatch import OnDevice, check_host, device_arrays, on_device
from .products import Float32
from .similarity import similarity_blocks, unit

if TYPE_CHECKING:
    from .cuda.arrays import DeviceArray

Variant = Literal["zeroed", "cropped"]

# Beyond these similarity / temperature leaves float32, or all that is left of it.
LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 1e-6, 1e6


@dataclass(frozen=True)
class SoftArgmax:
    """Settings of the estimator; `reference.window_softargmax` defines what they mean.

    window: `zeroed`: cells to each side of the peak, 0 for the whole grid, negative for a
        Gaussian of that many cells; `cropped`: cells across, odd.
    temperature: divides the similarities before the softmax, 1e-6 to 1e6.
    """

    window: int
    temperature: float
    variant: Variant

    def __post_init__(self) -> None:
        if self.variant not in ("zeroed", "cropped"):
            raise ValueError(f"variant {self.variant!r} is neither 'zeroed' nor 'cropped'")
        if not LOWEST_TEMPERATURE <= self.temperature <= HIGHEST_TEMPERATURE:
            raise ValueError(
                f"temperature {self.temperature} must lie between {LOWEST_TEMPERATURE:g} and "
                f"{HIGHEST_TEMPERATURE:g}"
            )
        if self.variant == "cropped" and (self.window < 1 or self.window % 2 == 0):
            raise ValueError(f"window {self.window} must be odd and positive for variant 'cropped'")

    @property
    def radius(self) -> int | None:
        """Cells to each side of the peak that keep their similarity; None for all cells."""
        if self.variant == "cropped":
            return self.window // 2
        return self.window if self.window > 0 else None


def expected_cells(
    similarity: Float32, peaks: NDArray[np.intp], width: int, setting: SoftArgmax
) -> Float32:
    """Expected cell (x, y) for similarities (k, H * W) with row-major peaks (k,): (k, 2).

    Only the window is visited. In variant `zeroed` each of the n cells outside it weighs
    w0 = exp(0 / T), so that with weights w inside and c a coordinate
    sum(w c) over the grid = sum(w c) over the window + w0 * sum(c) over the rest.
    """
    height = similarity.shape[1] // width
    maps = similarity.reshape(-1, height, width)
    if setting.window < 0:
        maps = maps * _gaussian(peaks, height, width, -setting.window)
    window = _Window.around(peaks, height, width, setting.radius)
    inside = window.take(maps)

    outside = height * width - window.count
    highest = inside.max(axis=(1, 2))
    zeroed = (outside > 0) & (setting.variant == "zeroed")
    highest = np.where(zeroed, np.maximum(highest, 0), highest)
    rest = np.exp(np.where(zeroed, -highest, -np.inf) / setting.temperature)
    weights = np.exp((inside - highest[:, None, None]) / setting.temperature)

    total = weights.sum(axis=(1, 2)) + rest * outside
    sum_x = (weights.sum(axis=1) * window.xs).sum(axis=1)
    sum_y = (weights.sum(axis=2) * window.ys).sum(axis=1)
    sum_x += rest * (height * width * (width - 1) // 2 - window.sum_x)
    sum_y += rest * (height * width * (height - 1) // 2 - window.sum_y)
    return np.stack([sum_x / total, sum_y / total], axis=1).astype(np.float32)


def _gaussian(peaks: NDArray[np.intp], height: int, width: int, sigma: int) -> Float32:
    """exp(-d^2 / (2 sigma^2)) for the distance d of every cell from each peak: (k, H, W)."""
    peak_y, peak_x = np.divmod(peaks, width)
    y = np.exp(-((np.arange(height) - peak_y[:, None]) ** 2) / (2 * sigma**2))
    x = np.exp(-((np.arange(width) - peak_x[:, None]) ** 2) / (2 * sigma**2))
    return (y[:, :, None] * x[:, None, :]).astype(np.float32)


@dataclass(frozen=True)
class _Window:
    """The cells around each of k peaks: their rows ys (k, h) and columns xs (k, w).

    rows and columns say which of those lie on the grid. count, sum_x and sum_y are the number
    and the coordinate sums of each window's cells on the grid: (k,).
    """

    ys: NDArray[np.intp]
    xs: NDArray[np.intp]
    rows: NDArray[np.bool_]
    columns: NDArray[np.bool_]
    count: NDArray[np.intp]
    sum_x: NDArray[np.intp]
    sum_y: NDArray[np.intp]

    @classmethod
    def around(
        cls, peaks: NDArray[np.intp], height: int, width: int, radius: int | None
    ) -> _Window:
        if radius is None or radius >= max(height, width) - 1:
            ys = np.broadcast_to(np.arange(height), (len(peaks), height))
            xs = np.broadcast_to(np.arange(width), (len(peaks), width))
        else:
            steps = np.arange(-radius, radius + 1)
            peak_y, peak_x = np.divmod(peaks, width)
            ys, xs = peak_y[:, None] + steps, peak_x[:, None] + steps
        rows, columns = (ys >= 0) & (ys < height), (xs >= 0) & (xs < width)
        high, wide = rows.sum(axis=1), columns.sum(axis=1)
        sum_x, sum_y = (xs * columns).sum(axis=1) * high, (ys * rows).sum(axis=1) * wide
        return cls(ys, xs, rows, columns, high * wide, sum_x, sum_y)

    def take(self, maps: Float32) -> Float32:
        """Values of maps (k, H, W) in the windows (k, h, w); -inf beyond the grid."""
        _, height, width = maps.shape
        whole = self.rows.shape[1] == height and self.columns.shape[1] == width
        if whole and self.rows.all() and self.columns.all():
            return maps
        rows = np.arange(len(maps))[:, None] * height + self.ys.clip(0, height - 1)
        index = rows[:, :, None] * width + self.xs.clip(0, width - 1)[:, None, :]
        on_grid = self.rows[:, :, None] & self.columns[:, None, :]
        return np.where(on_grid, maps.reshape(-1).take(index), np.float32(-np.inf))


@overload
def window_softargmax(
    queries: NDArray[np.floating],
    target: NDArray[np.floating],
    window: int,
    temperature: float,
    variant: Variant,
) -> Float32: ...
@overload
def window_softargmax(
    queries: OnDevice, target: OnDevice, window: int, temperature: float, variant: Variant
) -> DeviceArray: ...
def window_softargmax(
    queries: Any, target: Any, window: int, temperature: float, variant: Variant
) -> Float32 | DeviceArray:
    """The fast counterpart of `reference.window_softargmax`: same arguments, (K, 2) float32.

    On the host or on the GPU: where the arrays are. On the GPU both are float32 or both float16,
    and cells of values that are not finite are NaN.
    """
    setting = SoftArgmax(window, temperature, variant)
    if on_device(queries=queries, target=target):
        from .cuda import descriptors, matching

        [queries, target] = device_arrays(queries, target)
        queries, target = descriptors.unit(queries), descriptors.unit(target)
        return matching.match(queries, target, setting).cells
    check_host(queries=(queries, 2), target=(target, 3))
    queries, target = unit(queries), unit(target)
    cells = np.empty((len(queries), 2), np.float32)
    for part, similarity in similarity_blocks(queries, target):
        cells[part] = expected_cells(
            similarity, similarity.argmax(axis=1), target.shape[1], setting
        )
    return cells
