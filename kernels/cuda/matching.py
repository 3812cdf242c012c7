"""Matching on the GPU: nothing comes back to the host between the descriptors and the result."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..softargmax import SoftArgmax
from .arrays import DeviceArray
from .descriptors import PACKET_BYTES, How, aligned, check_descriptors, sample
from .similarity import nearest_keys
from .softargmax import FoundOnDevice, aligned_grid, expected_cells, peak_cells

GATHER_THREADS = 128


@dataclass(frozen=True)
class PointsOnDevice(FoundOnDevice):
    """Where K cells of the source were found, in a GPU's memory, and what is found on the way back.

    back: (K,) int32 row-major index of the source's cell that is most similar to the peak. A match
    is mutual where that is the cell that was asked for.
    """

    back: DeviceArray


def match(
    queries: DeviceArray, target: DeviceArray, soft: SoftArgmax | None = None
) -> FoundOnDevice:
    """Find each query among the target's cells, as `kernels.match` does.

    queries (K, C) and target (H, W, C): unit descriptors, both float32 or both float16. Two
    launches, three with `soft`.

    Raises ValueError where shapes or types do not fit. Values that are not finite show in the
    result, and are refused when it is taken to the host with `numpy()`.
    """
    check_descriptors("queries", queries, None, None)
    check_descriptors("target", target, None, None, queries.shape[1])
    queries, target = aligned(queries), aligned_grid(target)
    height, width, channels = target.shape
    keys = nearest_keys(queries, target.reshape(height * width, channels))
    return peak_cells(keys, width) if soft is None else expected_cells(queries, target, keys, soft)


def match_points(
    source: DeviceArray,
    target: DeviceArray,
    cells: DeviceArray,
    soft: SoftArgmax | None = None,
    how: How = "nearest",
) -> PointsOnDevice:
    """Find cells of the source map in the target map, and the way back from every peak.

    source (H, W, C) and target (H', W', C): unit descriptors, both float32 or both float16.
    cells (K, 2) float32: x, y on the source's grid, cell centres at whole numbers; `how` says what
    descriptor a place between them has.

    Raises ValueError where shapes or types do not fit; values that are not finite show in the
    result as in `match`.
    """
    check_descriptors("source", source, None, None, None)
    check_descriptors("target", target, None, None, source.shape[2])
    source, target = aligned_grid(source), aligned_grid(target)
    found = match(sample(source, cells, how), target, soft)
    height, width, channels = target.shape
    back = match(_gathered(target.reshape(height * width, channels), found.peaks), source)
    return PointsOnDevice(found.cells, found.peaks, found.similarity, back.peaks)


def _gathered(rows: DeviceArray, index: DeviceArray) -> DeviceArray:
    """Rows (M, C), on 16 bytes, at index (K,) int32: (K, C). A row at -1 is NaN."""
    out = DeviceArray.empty(rows.device, (len(index), rows.shape[1]), rows.dtype)
    packets = rows.shape[1] * rows.dtype.itemsize // PACKET_BYTES
    if len(index):
        rows.device.kernel("matching", "gather_rows").launch(
            (-(-len(index) // (GATHER_THREADS // 32)),),
            (GATHER_THREADS,),
            [rows, index, np.int32(len(index)), np.int32(packets), out],
        )
    return out
