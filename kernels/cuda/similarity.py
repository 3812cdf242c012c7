"""The most similar descriptors, on a device, without the matrix of all similarities.

Results are keys: uint64, the score's bits made to order above the row's index inverted, so that the
largest key is the best score's, among equals the smallest index's, and 0 is none. Where a value of
a query or of any row that is compared with it is not finite, the query's key is that of NaN, which
is above all others: its similarity decodes to NaN, never to a plausible match.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from .arrays import DeviceArray
from .descriptors import (
    SUFFIX,
    aligned,
    check,
    check_descriptors,
    check_together,
    half_squares,
    inverse_norms,
    sample,
)
from .descriptors import unit as unit_rows
from .device import NULL, Argument

__all__ = ["both_ways", "inverse_norms", "nearest", "nearest_keys", "sample"]

Metric = Literal["cosine", "euclidean"]

# As nearest_few.cuh and nearest_dense.cuh have them.
FEW_QUERIES, FEW_ROWS, FEW_THREADS = 16, 32, 256
TILE, SHARED_BYTES = 128, 48 * 1024
MOST_TILES_HIGH = 65535  # of a grid, in CUDA
DENSE_THREADS = {"f32": 256, "f16": 128}

# Queries up to which one pass over the target for every 16 is thought to take less time than tiles
# of 128 x 128: reckoned from the bytes and operations of both, not measured.
FEW = {"f32": 512, "f16": 128}


def nearest_keys(
    queries: DeviceArray,
    target: DeviceArray,
    *,
    target_inverse_norms: DeviceArray | None = None,
    below: DeviceArray | None = None,
) -> DeviceArray:
    """Keys of the most similar target row for each query.

    The score is the dot product, times the row's inverse norm where given: the cosine, if the
    queries have unit norm.

    Args:
        queries: (K, C) float32 or float16.
        target: (M, C) of the same dtype. Fast where rows begin on 16 bytes, as they do with C a
            multiple of 4 (float32) or 8 (float16); others are copied.
        target_inverse_norms: (M,) float32; None where rows have unit norm.
        below: (K,) uint64; only rows whose key is below it count, for the next best.

    Returns:
        (K,) uint64.

    Raises:
        ValueError: for other shapes or dtypes, a target without rows, or more than 8,388,480
            queries.
    """
    check_descriptors("queries", queries, None, None)
    _check_target("target", target, queries)
    if target_inverse_norms is not None:
        check("target_inverse_norms", target_inverse_norms, (len(target),), np.float32)
    if below is not None:
        check("below", below, (len(queries),), np.uint64)
    check_together(queries=queries, target=target, norms=target_inverse_norms, below=below)
    keys = _no_keys(queries, len(queries))
    _search(aligned(queries), aligned(target), target_inverse_norms, below, keys)
    return keys


def nearest(
    queries: DeviceArray, target: DeviceArray, count: int = 1, unit: bool = True
) -> tuple[DeviceArray, DeviceArray]:
    """The `count` most similar target rows for each query, best first.

    Args:
        queries: (K, C) float32 or float16.
        target: (M, C) of the same dtype.
        count: 1 to M; each takes a pass over the target.
        unit: whether both have unit norm already.

    Returns:
        Indices (K, count) int32 and cosine similarities (K, count) float32. Among equals the
        smaller index comes first. NaN where a value is not finite.

    Raises:
        ValueError: for other shapes or dtypes, a count out of range, or more than 8,388,480
            queries.
    """
    check_descriptors("queries", queries, None, None)
    _check_target("target", target, queries)
    if not 1 <= count <= len(target):
        raise ValueError(f"count {count} must lie between 1 and the {len(target)} target rows")
    queries = aligned(queries if unit else unit_rows(queries))
    target = aligned(target)
    norms = None if unit else inverse_norms(target)
    keys = _no_keys(queries, count, len(queries))
    passes = [_pass(keys, number) for number in range(count)]
    for below, found in zip([None, *passes], passes, strict=False):
        _search(queries, target, norms, below, found)
    return _decoded(keys)


def _search(
    queries: DeviceArray,
    target: DeviceArray,
    norms: DeviceArray | None,
    below: DeviceArray | None,
    keys: DeviceArray,
) -> None:
    """`nearest_keys` into keys that are 0, of rows that begin on 16 bytes."""
    if len(queries) == 0:
        return
    suffix = SUFFIX[queries.dtype]
    sizes = [np.int32(each) for each in (len(queries), *target.shape)]
    arguments: list[Argument] = [queries, target, _or_null(norms), _or_null(below), keys, *sizes]
    if len(queries) <= FEW[suffix]:
        kernel = queries.device.kernel("similarity", f"nearest_few_{suffix}")
        grid = (-(-len(target) // FEW_ROWS), -(-len(queries) // FEW_QUERIES))
        kernel.launch(grid, (FEW_THREADS,), arguments)
    else:
        bounded = "" if below is None else "_below"
        kernel = queries.device.kernel("similarity", f"nearest_dense{bounded}_{suffix}")
        grid = tiles(len(queries), len(target))
        kernel.launch(grid, (DENSE_THREADS[suffix],), arguments, SHARED_BYTES)


def both_ways(
    a: DeviceArray,
    b: DeviceArray,
    metric: Metric = "cosine",
    inside_a: DeviceArray | None = None,
    inside_b: DeviceArray | None = None,
) -> tuple[DeviceArray, DeviceArray]:
    """Keys of the nearest row of b for each of a, and the other way round, of each product once.

    Args:
        a: (N, C) float32 or float16, of any norm.
        b: (M, C) of the same dtype.
        metric: what is nearest. The score is for `cosine` the dot product over the other row's
            norm (for rows of a: the cosine times their own norm), for `euclidean` the dot product
            minus half the other row's square.
        inside_a: (N,) uint8, 0 leaves a row out.
        inside_b: (M,) uint8, likewise.

    Returns:
        Keys (N,) into b and (M,) into a, uint64. 0 for rows left out and where all others are, or
        there are none.

    Raises:
        ValueError: for other shapes or dtypes, a b without rows, or more than 8,388,480 rows of a.
    """
    check_descriptors("a", a, None, None)
    _check_target("b", b, a)
    check_together(a=a, b=b, inside_a=inside_a, inside_b=inside_b)
    for name, inside, rows in (("inside_a", inside_a, a), ("inside_b", inside_b, b)):
        if inside is not None:
            check(name, inside, (len(rows),), np.uint8)
    if metric not in ("cosine", "euclidean"):
        raise ValueError(f"metric is {metric!r}; it must be 'cosine' or 'euclidean'")
    forward, backward = _no_keys(a, len(a)), _no_keys(a, len(b))
    if len(a):
        _search_both(aligned(a), aligned(b), metric, [inside_a, inside_b], forward, backward)
    return forward, backward


def _search_both(
    a: DeviceArray,
    b: DeviceArray,
    metric: Metric,
    masks: Sequence[DeviceArray | None],
    forward: DeviceArray,
    backward: DeviceArray,
) -> None:
    """`both_ways` into keys that are 0, of rows that begin on 16 bytes."""
    measured: list[Argument] = [NULL, NULL, NULL, NULL]
    if metric == "cosine":
        measured[:2] = [inverse_norms(a), inverse_norms(b)]
    else:
        measured[2:] = [half_squares(a), half_squares(b)]
    suffix = SUFFIX[a.dtype]
    sizes = [np.int32(each) for each in (len(a), *b.shape)]
    a.device.kernel("similarity", f"both_ways_{suffix}").launch(
        tiles(len(a), len(b)),
        (DENSE_THREADS[suffix],),
        [a, b, *measured, *map(_or_null, masks), forward, backward, *sizes],
        SHARED_BYTES,
    )


def tiles(rows: int, columns: int) -> tuple[int, int]:
    """The grid, x and y, whose blocks make the products of so many rows with so many columns.

    Raises ValueError for more rows than a grid is high; there may be far more columns.
    """
    if rows > MOST_TILES_HIGH * TILE:
        raise ValueError(f"{rows} rows; at most {MOST_TILES_HIGH * TILE} go at once: split them")
    return -(-columns // TILE), -(-rows // TILE)


def _decoded(keys: DeviceArray) -> tuple[DeviceArray, DeviceArray]:
    """Keys (passes, K) as indices (K, passes) int32 and scores (K, passes) float32."""
    passes, queries = keys.shape
    indices = DeviceArray.empty(keys.device, (queries, passes), np.int32)
    scores = DeviceArray.empty(keys.device, (queries, passes), np.float32)
    if keys.size:
        kernel = keys.device.kernel("similarity", "decode")
        sizes = [np.int32(queries), np.int32(passes)]
        kernel.launch((-(-keys.size // 256),), (256,), [keys, indices, scores, *sizes])
    return indices, scores


def _check_target(name: str, target: DeviceArray, queries: DeviceArray) -> None:
    check(name, target, (None, queries.shape[1]), queries.dtype)
    if len(target) == 0:
        raise ValueError(f"{name} has no rows")


def _no_keys(like: DeviceArray, *shape: int) -> DeviceArray:
    keys = DeviceArray.empty(like.device, shape, np.uint64)
    like.device.fill(keys.pointer, 0, keys.nbytes)
    return keys


def _pass(keys: DeviceArray, number: int) -> DeviceArray:
    """One of the rows of keys (passes, K): (K,), in the same memory."""
    queries = keys.shape[1]
    pointer = keys.pointer + number * queries * keys.dtype.itemsize
    return DeviceArray(keys.device, pointer, (queries,), keys.dtype, keys.owner)


def _or_null(array: DeviceArray | None) -> Argument:
    return NULL if array is None else array
