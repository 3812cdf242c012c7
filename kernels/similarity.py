"""Cosine similarity of a few queries with every cell of a grid, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

Float32 = NDArray[np.float32]

BLOCK_BYTES = 4 * 2**20

# Multiply-adds below which a product runs on one thread: a few milliseconds' worth. BLAS keeps
# the threads it woke spinning for tens of milliseconds, and they take the cores from the engine
# that extracts the next image.
ONE_THREAD = 100_000_000

_lock = Lock()
_holders = 0
_limit: Any = None


def unit(descriptors: NDArray[np.floating]) -> Float32:
    """Descriptors (..., C) divided by their Euclidean norm, float32; a zero vector stays zero."""
    x = np.asarray(descriptors, np.float32)
    largest = abs(x).max(axis=-1, keepdims=True, initial=0)
    x = np.divide(x, largest, out=np.zeros_like(x), where=largest != 0)  # squares stay in range
    norm = np.sqrt(np.einsum("...c,...c->...", x, x))[..., None]
    unit_norm: Float32 = np.divide(x, norm, out=np.zeros_like(x), where=norm != 0)
    return unit_norm


def similarity_blocks(queries: Float32, target: Float32) -> Iterator[tuple[slice, Float32]]:
    """Yield (which queries, their similarities (k, H * W)), a block of queries at a time.

    queries (K, C) and target (H, W, C) are unit float32 descriptors, so that the cosine is a
    dot product. A block holds at most BLOCK_BYTES of similarities, whatever K is; each block
    reads the target once: (H W C + k C + k H W) * 4 bytes.

    Raises ValueError where descriptors are not finite or the target has no cells.
    """
    cells = target.reshape(-1, target.shape[2])
    for part in blocks(len(queries), len(cells)):
        yield part, products(queries[part], cells)


def blocks(queries: int, cells: int) -> Iterator[slice]:
    """Slices of the queries whose similarities with so many cells fit in BLOCK_BYTES."""
    if cells == 0:
        raise ValueError("the target has no cells")
    step = max(1, BLOCK_BYTES // (4 * cells))
    for start in range(0, queries, step):
        yield slice(start, start + step)


def products(a: Float32, b: Float32) -> Float32:
    """Dot products of every row of a (N, C) with every row of b (M, C): (N, M).

    Raises ValueError where a value is not finite.
    """
    with nullcontext() if a.size * len(b) > ONE_THREAD else one_thread():
        product: Float32 = a @ b.T
    if not np.isfinite(product.sum()):
        raise ValueError("descriptors hold NaN or infinite values")
    return product


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep BLAS to one thread; for all threads of the process, until the last one leaves."""
    global _holders, _limit
    with _lock:
        if _holders == 0:
            _limit = _blas().limit(limits=1, user_api="blas")
        _holders += 1
    try:
        yield
    finally:
        with _lock:
            _holders -= 1
            if _holders == 0:
                _limit.restore_original_limits()


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()
