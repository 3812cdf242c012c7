"""Products of matrices on the host: how many of its cores they take, and in which parts.

BLAS keeps the threads it woke spinning for tens of milliseconds, and they take the cores from the
engine that extracts the next image. So what takes a few milliseconds is not left to its threads: it
is done in parts, shared with one thread of ours that sleeps in between, where BLAS itself may take
several. Which parts there are depends on the shapes and the processor, so results do not depend on
who shares.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

Float32 = NDArray[np.float32]

# Multiply-adds beyond which BLAS may wake its threads, and below which one thread is as fast.
ALL_THREADS, ONE_THREAD = 100_000_000, 5_000_000

# So few rows against many: BLAS copies the many into an order of its own before it multiplies, and
# that takes longer than the product. Products of so few multiply-adds and results OpenBLAS computes
# where they lie, given AVX-512 (its kernel/x86_64/sgemm_small_kernel_permit_skylakex.c): 12 rows
# against 3600 take half the time in such parts, of 256, 768 and 3968 channels alike. Without it
# they take as long, or twice as long.
FEW_ROWS, PART, PART_RESULTS = 25, 1_000_000, 1_200
IN_PLACE = {"skylakex", "cooperlake", "sapphirerapids"}  # of OpenBLAS's names of processors

_lock = Lock()
_holders = 0
_limit: Any = None
_allowed = 1  # threads that BLAS may take when nobody holds it


def products(a: Float32, b: Float32) -> Float32:
    """Dot products of every row of a (N, C) with every row of b (M, C): (N, M).

    Raises ValueError where a value is not finite.
    """
    product = a @ b.T if a.size * len(b) > ALL_THREADS else _in_parts(a, b)
    if not np.isfinite(product.sum()):
        raise ValueError("descriptors hold NaN or infinite values")
    return product


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep BLAS to one thread; for all threads of the process, until the last one leaves."""
    global _holders, _limit, _allowed
    with _lock:
        if _holders == 0:
            _allowed = _blas_threads()
            _limit = _blas().limit(limits=1, user_api="blas")
        _holders += 1
    try:
        yield
    finally:
        with _lock:
            _holders -= 1
            if _holders == 0:
                _limit.restore_original_limits()


def _in_parts(a: Float32, b: Float32) -> Float32:
    """As `products`, some rows of b at a time, by this thread and a second one.

    Alone where others are at it: they have the cores.
    """
    parts = _parts(a, len(b))
    product = np.empty((len(a), len(b)), np.float32)

    def multiply(chosen: Sequence[slice]) -> None:
        for part in chosen:
            np.matmul(a, b[part].T, out=product[:, part])

    with one_thread():
        half = len(parts) // 2 if _shares(a.size * len(b)) else 0
        others = _begun(multiply, parts[:half]) if half else None
        multiply(parts[half:] if others else parts)
        if others:
            others.result()
    return product


def _parts(a: Float32, rows: int) -> list[slice]:
    """Slices of so many rows: small ones where a has few, but several, rows, else halves."""
    if 1 < len(a) <= FEW_ROWS and _multiplies_in_place():
        step = max(1, min(PART // max(1, a.size), PART_RESULTS // len(a)))
    else:
        step = max(1, (rows + 1) // 2)
    return [slice(start, start + step) for start in range(0, rows, step)]


def _shares(multiply_adds: int) -> bool:
    return multiply_adds > ONE_THREAD and _holders == 1 and _allowed > 1


def _begun(
    multiply: Callable[[Sequence[slice]], None], parts: Sequence[slice]
) -> Future[None] | None:
    """The second thread's work; None where no thread begins, as while the interpreter ends."""
    try:
        return _second().submit(multiply, parts)
    except RuntimeError:
        return None


@cache
def _second() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "products")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_second.cache_clear)  # threads do not survive a fork


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()


def _blas_threads() -> int:
    """Threads that BLAS may take now; the cores where it does not tell."""
    found = [each["num_threads"] or 1 for each in _blas().info() if each["user_api"] == "blas"]
    return max(found, default=os.cpu_count() or 1)


@cache
def _multiplies_in_place() -> bool:
    return any(str(each.get("architecture")).lower() in IN_PLACE for each in _blas().info())
