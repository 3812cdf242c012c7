"""Descriptors to matched cells: similarity, peak and estimator in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from .dispatch import OnDevice, check_host, device_arrays, on_device
from .products import Float32
from .similarity import similarity_blocks
from .softargmax import SoftArgmax, expected_cells

if TYPE_CHECKING:
    from .cuda.softargmax import FoundOnDevice


@dataclass(frozen=True)
class Found:
    """Where K queries were found on an H x W grid.

    cells: (K, 2) float32 cell coordinates x, y; cell centres are whole numbers.
    peaks: (K,) row-major index of the most similar cell; the smaller index among equals.
    similarity: (K,) float32 cosine similarity at the peak.
    """

    cells: Float32
    peaks: NDArray[np.intp]
    similarity: Float32


@overload
def match(queries: Float32, target: Float32, soft: SoftArgmax | None = None) -> Found: ...
@overload
def match(queries: OnDevice, target: OnDevice, soft: SoftArgmax | None = None) -> FoundOnDevice: ...
def match(queries: Any, target: Any, soft: SoftArgmax | None = None) -> Found | FoundOnDevice:
    """Find each query among the target's cells, on the host or on the GPU: where the arrays are.

    queries (K, C) and target (H, W, C): unit float32 descriptors; on a GPU `DeviceArray`s or any
    arrays with `__cuda_array_interface__` or DLPack, float16 too. Without `soft` the answer is the
    most similar cell, with it the expected cell around that one.

    Raises ValueError where descriptors are not finite (on a GPU when the result's `numpy()` brings
    it to the host), TypeError where one array is on the host and one on a GPU.
    """
    if on_device(queries=queries, target=target):
        from .cuda import matching

        [queries, target] = device_arrays(queries, target)
        return matching.match(queries, target, soft)
    check_host(queries=(queries, 2), target=(target, 3))
    similarity = similarity_blocks(queries, target)
    [found] = locate(similarity, len(queries), target.shape[1], [soft])
    return found


def locate(
    similarity: Iterable[tuple[slice, Float32]],
    count: int,
    width: int,
    settings: Sequence[SoftArgmax | None],
) -> list[Found]:
    """Find each of `count` queries once per setting; their similarities are read once.

    similarity: blocks as `similarity_blocks` yields them, over a grid `width` cells wide.
    """
    peaks = np.empty(count, np.intp)
    best = np.empty(count, np.float32)
    cells = np.empty((len(settings), count, 2), np.float32)
    for part, block in similarity:
        peaks[part] = block.argmax(axis=1)
        best[part] = np.take_along_axis(block, peaks[part, None], axis=1)[:, 0]
        for number, soft in enumerate(settings):
            if soft is not None:
                cells[number, part] = expected_cells(block, peaks[part], width, soft)
    for number, soft in enumerate(settings):
        if soft is None:
            cells[number] = np.stack([peaks % width, peaks // width], axis=1)
    return [Found(each, peaks, best) for each in cells]
