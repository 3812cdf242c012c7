"""Descriptors to matched cells: similarity, peak and estimator in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .similarity import Float32, similarity_blocks
from .softargmax import SoftArgmax, expected_cells


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


def match(queries: Float32, target: Float32, soft: SoftArgmax | None = None) -> Found:
    """Find each query among the target's cells.

    queries (K, C) and target (H, W, C): unit float32 descriptors. Without `soft` the answer
    is the most similar cell, with it the expected cell around that one.

    Raises ValueError where descriptors are not finite.
    """
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
