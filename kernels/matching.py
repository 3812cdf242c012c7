"""Descriptors to matched cells: similarity, peak and estimator in one pass."""

from __future__ import annotations

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
    width = target.shape[1]
    peaks = np.empty(len(queries), np.intp)
    best = np.empty(len(queries), np.float32)
    cells = np.empty((len(queries), 2), np.float32)
    for part, similarity in similarity_blocks(queries, target):
        peaks[part] = similarity.argmax(axis=1)
        best[part] = np.take_along_axis(similarity, peaks[part, None], axis=1)[:, 0]
        if soft is not None:
            cells[part] = expected_cells(similarity, peaks[part], width, soft)
    if soft is None:
        cells[:, 0], cells[:, 1] = peaks % width, peaks // width
    return Found(cells, peaks, best)
