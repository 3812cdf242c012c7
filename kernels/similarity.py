"""Cosine similarity of a few queries with every cell of a grid, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

Float32 = NDArray[np.float32]

BLOCK_BYTES = 4 * 2**20

# Multiply-adds below which a product runs on one thread: a few milliseconds' worth. BLAS keeps
# the threads it woke spinning for tens of milliseconds, and they take the cores from the engine
# that extracts the next image.
ONE_THREAD = 100_000_000

_limits = Lock()


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
    height, width, channels = target.shape
    if height * width == 0:
        raise ValueError("the target has no cells")
    cells = target.reshape(height * width, channels).T
    step = max(1, BLOCK_BYTES // (4 * height * width))
    for start in range(0, len(queries), step):
        part = slice(start, start + step)
        similarity = _product(queries[part], cells)
        if not np.isfinite(similarity.sum()):
            raise ValueError("descriptors hold NaN or infinite values")
        yield part, similarity


def _product(a: Float32, b: Float32) -> Float32:
    """The product a @ b, on one thread where it is small."""
    if a.shape[0] * a.shape[1] * b.shape[1] > ONE_THREAD:
        return a @ b
    with _limits, _blas().limit(limits=1, user_api="blas"):
        return a @ b


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()
