"""The suite `machine`: what the machine can do at most, which floors are counted from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import ThreadpoolController

from .rows import Row, Spread
from .settings import Settings, Watch
from .timing import Call, Pace, times

CONTENDER = "numpy"
PRODUCT, COPY = "product, fp32", "copy"
SIDE = 2048  # of the product's square matrices
COPIED_BYTES = 256 * 2**20  # far more than the caches hold


def rows(settings: Settings, watch: Watch) -> Iterator[Row]:
    """GFLOP/s of a large product of matrices, and GB/s of a copy.

    First with as many threads as every contender has, then with one. A multiply-add counts as two
    operations, a copied byte as two: one read and one written.
    """
    counts = dict.fromkeys((settings.threads, 1))
    for what, unit, measure in ((PRODUCT, "GFLOP/s", _product), (COPY, "GB/s", _copy)):
        watch.note(f"machine: {what}")
        for threads, rates in zip(counts, measure(list(counts), settings.pace), strict=True):
            name = what if threads == settings.threads else f"{what}, one thread"
            spread = Spread.of(rates)
            yield Row(
                suite="machine", case={"what": name}, contender=CONTENDER, unit=unit, spread=spread
            )


def _product(counts: Sequence[int], pace: Pace) -> Iterator[list[float]]:
    """GFLOP/s of a float32 product, for each number of threads."""
    rng = np.random.default_rng(0)
    left, right = rng.standard_normal((2, SIDE, SIDE), np.float32)
    result = np.empty_like(left)
    controller = ThreadpoolController()

    def product(threads: int) -> None:
        with controller.limit(limits=threads, user_api="blas"):
            np.matmul(left, right, out=result)

    return _rates(product, 2e-9 * SIDE**3, counts, pace)


def _copy(counts: Sequence[int], pace: Pace) -> Iterator[list[float]]:
    """GB/s of a copy from one array to another, for each number of threads."""
    source = np.ones(COPIED_BYTES, np.uint8)
    target = np.zeros_like(source)
    with ThreadPoolExecutor(max(counts)) as pool:

        def copy(threads: int) -> None:
            parts = np.array_split(target, threads), np.array_split(source, threads)
            list(pool.map(np.copyto, *parts))

        yield from _rates(copy, 2e-9 * COPIED_BYTES, counts, pace)


def _rates(
    work: Callable[[int], None], amount: float, counts: Sequence[int], pace: Pace
) -> Iterator[list[float]]:
    """So much work in a second, for each number of threads."""
    calls: dict[str, list[Call]] = {str(count): [lambda n=count: work(n)] for count in counts}
    for taken in times(calls, pace).values():
        yield [1000 * amount / each for each in taken]
