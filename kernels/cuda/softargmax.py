"""Windowed soft-argmax on the GPU: from keys of the most similar cells to expected cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..matching import Found
from ..softargmax import SoftArgmax
from .arrays import DeviceArray
from .descriptors import SUFFIX, aligned, check, check_descriptors, check_together
from .device import Argument, Device
from .similarity import DENSE_THREADS, SHARED_BYTES, tiles

THREADS = 128  # SOFTARGMAX_THREADS
CELLS_OF_A_BLOCK = 16  # that all its warps read at once
PEAKS_THREADS = 256

# By tiles, similarities with all cells are computed, but each at less cost than one with a cell of
# a window, which comes from L2 for it alone. How many times less, and how many similarities it
# takes to fill a device, is reckoned from bytes and operations; neither is measured.
DENSE_GAIN = {np.dtype(np.float32): 8, np.dtype(np.float16): 64}
DENSE_PRODUCTS = 50_000


@dataclass(frozen=True)
class FoundOnDevice:
    """Where K queries were found, as `Found` has it, in a GPU's memory.

    cells: (K, 2) float32. peaks: (K,) int32. similarity: (K,) float32. A query whose key is 0 or
    that of a NaN has peak -1 and NaN for the rest; what is not finite in a window makes cells NaN.
    """

    cells: DeviceArray
    peaks: DeviceArray
    similarity: DeviceArray

    def numpy(self) -> Found:
        """A copy on the host. Raises ValueError where descriptors were not finite."""
        cells, similarity = self.cells.numpy(), self.similarity.numpy()
        if not (np.isfinite(similarity).all() and np.isfinite(cells).all()):
            raise ValueError("descriptors hold NaN or infinite values")
        return Found(cells, self.peaks.numpy().astype(np.intp), similarity)

    @classmethod
    def empty(cls, device: Device, count: int) -> FoundOnDevice:
        """Uninitialised results for so many queries."""
        return cls(
            DeviceArray.empty(device, (count, 2), np.float32),
            DeviceArray.empty(device, (count,), np.int32),
            DeviceArray.empty(device, (count,), np.float32),
        )


def expected_cells(
    queries: DeviceArray, target: DeviceArray, keys: DeviceArray, setting: SoftArgmax
) -> FoundOnDevice:
    """Expected cells around the most similar ones, as `reference.window_softargmax` defines them.

    queries (K, C) and target (H, W, C): unit descriptors, both float32 or both float16; they are
    copied where rows do not begin at multiples of 16 bytes. keys (K,) uint64: the most similar cell
    of each query, as `nearest_keys` gives it.

    Products and sums are float32. Two launches: the windows' parts, and what they make together.
    For many queries with large windows the parts come from similarities in tiles.

    Raises ValueError where shapes or types do not fit, or more than 8,388,480 queries have windows
    that large.
    """
    _check(queries, target, keys)
    found = FoundOnDevice.empty(queries.device, len(queries))
    if len(queries):
        _launch(aligned(queries), aligned_grid(target), keys, setting, found)
    return found


def peak_cells(keys: DeviceArray, width: int) -> FoundOnDevice:
    """The most similar cells alone, on a grid `width` cells wide: their keys (K,) decoded."""
    found = FoundOnDevice.empty(keys.device, len(keys))
    if len(keys):
        keys.device.kernel("softargmax", "peak_cells").launch(
            (-(-len(keys) // PEAKS_THREADS),),
            (PEAKS_THREADS,),
            [keys, np.int32(len(keys)), np.int32(width), *_outputs(found)],
        )
    return found


def aligned_grid(grid: DeviceArray) -> DeviceArray:
    """A grid (H, W, C) whose rows begin at multiples of 16 bytes: itself, or a padded copy.

    Raises ValueError where it has no cells.
    """
    height, width, channels = grid.shape
    if height * width == 0:
        raise ValueError(f"a grid {grid.shape} has no cells")
    rows = aligned(grid.reshape(height * width, channels))
    return rows.reshape(height, width, rows.shape[1])


def _check(queries: DeviceArray, target: DeviceArray, keys: DeviceArray) -> None:
    check_descriptors("queries", queries, None, None)
    check("target", target, (None, None, queries.shape[1]), queries.dtype)
    check("keys", keys, (len(queries),), np.uint64)
    check_together(queries=queries, target=target, keys=keys)


@dataclass(frozen=True)
class _Estimator:
    """A setting as the kernels take it; `whole` is a radius that leaves no cell out."""

    radius: np.int32
    sharpness: np.float32
    narrowness: np.float32
    zeroed: np.int32

    @classmethod
    def of(cls, setting: SoftArgmax, whole: int) -> _Estimator:
        sigma = -setting.window
        return cls(
            np.int32(whole if setting.radius is None else min(setting.radius, whole)),
            np.float32(1 / setting.temperature),
            np.float32(1 / (2 * sigma**2) if sigma > 0 else 0),
            np.int32(setting.variant == "zeroed"),
        )

    def cells(self, height: int, width: int) -> int:
        """The most cells a window has on a grid."""
        across = 2 * int(self.radius) + 1
        return min(across, height) * min(across, width)


def _launch(
    queries: DeviceArray,
    target: DeviceArray,
    keys: DeviceArray,
    setting: SoftArgmax,
    found: FoundOnDevice,
) -> None:
    height, width, _ = target.shape
    how = _Estimator.of(setting, max(height, width))
    cells = how.cells(height, width)
    pays = cells * DENSE_GAIN[queries.dtype] >= height * width
    by = _by_tiles if pays and len(queries) * cells >= DENSE_PRODUCTS else _by_windows
    parts = by(queries, target, keys, how)
    sizes = [np.int32(each) for each in (parts.shape[1], len(queries), height, width)]
    queries.device.kernel("softargmax", "merged_cells").launch(
        (-(-len(queries) // (THREADS // 32)),),
        (THREADS,),
        [keys, parts, *sizes, how.radius, how.sharpness, how.zeroed, *_outputs(found)],
    )


def _by_windows(
    queries: DeviceArray, target: DeviceArray, keys: DeviceArray, how: _Estimator
) -> DeviceArray:
    """What each block finds in its part of a query's window: (K, blocks, 4) float32."""
    device, count = queries.device, len(queries)
    splits = _splits(device, count, how.cells(*target.shape[:2]))
    parts = DeviceArray.empty(device, (count, splits, 4), np.float32)
    sizes = [np.int32(each) for each in target.shape]
    device.kernel("softargmax", f"windows_{SUFFIX[queries.dtype]}").launch(
        (count, splits),
        (THREADS,),
        [queries, target, keys, *sizes, how.radius, how.sharpness, how.narrowness, parts],
    )
    return parts


def _by_tiles(
    queries: DeviceArray, target: DeviceArray, keys: DeviceArray, how: _Estimator
) -> DeviceArray:
    """What each warp finds for a query in its cells: (K, warps, 4) float32."""
    device, suffix, count = queries.device, SUFFIX[queries.dtype], len(queries)
    height, width, channels = target.shape
    grid = tiles(count, height * width)
    warps = grid[0] * DENSE_THREADS[suffix] // 64
    parts = DeviceArray.empty(device, (count, warps, 4), np.float32)
    sizes = [np.int32(each) for each in (count, height * width, width, channels)]
    device.kernel("softargmax", f"tiles_{suffix}").launch(
        grid,
        (DENSE_THREADS[suffix],),
        [queries, target, keys, *sizes, how.radius, how.sharpness, how.narrowness, parts],
        SHARED_BYTES,
    )
    return parts


def _splits(device: Device, queries: int, cells: int) -> int:
    """Blocks for each query: two for each multiprocessor, as far as there is work for them."""
    return max(1, min(2 * device.multiprocessors // queries, -(-cells // CELLS_OF_A_BLOCK)))


def _outputs(found: FoundOnDevice) -> list[Argument]:
    return [found.cells, found.peaks, found.similarity]
