"""Similarities of several models, added up on one grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np

from .products import Float32, products
from .similarity import blocks


def ensemble_blocks(
    queries: Sequence[Float32],
    targets: Sequence[Float32],
    weights: Sequence[float],
    grid: tuple[int, int],
) -> Iterator[tuple[slice, Float32]]:
    """Yield (which queries, their weighted similarities (k, rows * columns)), in blocks.

    queries: per model (K, C_m); targets: per model (H_m, W_m, C_m); unit float32 descriptors.
    Every model's similarity map is resized bilinearly to the grid (rows, columns), half-pixel
    centres, no antialiasing, and the maps are added with the weights.

    Raises ValueError where descriptors are not finite or a target has no cells.
    """
    rows, columns = grid
    largest = max(rows * columns, *(each.shape[0] * each.shape[1] for each in targets))
    for part in blocks(len(queries[0]), largest):
        total = np.zeros((len(queries[0][part]), rows, columns), np.float32)
        for query, target, weight in zip(queries, targets, weights, strict=True):
            height, width, channels = target.shape
            similarity = products(query[part], target.reshape(-1, channels))
            maps = similarity.reshape(-1, height, width)
            total += np.float32(weight) * resized(maps, grid)
        yield part, total.reshape(len(total), -1)


def resized(maps: Float32, grid: tuple[int, int]) -> Float32:
    """Maps (k, H, W) at another size (k, rows, columns): bilinear, half-pixel centres."""
    if maps.shape[1:] == grid:
        return maps
    across = bilinear(maps.shape[2], grid[1])
    result: Float32 = np.matmul(bilinear(maps.shape[1], grid[0]) @ maps, across.T)
    return result


@cache
def bilinear(cells: int, wanted: int) -> Float32:
    """The matrix (wanted, cells) that resamples a line of cells: each row's two weights."""
    at = ((np.arange(wanted) + 0.5) * cells / wanted - 0.5).clip(0, cells - 1)
    low = np.floor(at).astype(np.intp)
    share = at - low
    matrix: Float32 = np.zeros((wanted, cells), np.float32)
    rows = np.arange(wanted)
    np.add.at(matrix, (rows, low), 1 - share)
    np.add.at(matrix, (rows, (low + 1).clip(max=cells - 1)), share)
    matrix.flags.writeable = False
    return matrix
