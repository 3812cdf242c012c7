"""Work shared out among threads; the numerical libraries let go of Python's lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


def default_workers() -> int:
    """As many workers as cores, four at most."""
    return min(4, os.cpu_count() or 1)


def engine_threads(workers: int) -> int:
    """Threads for each of so many engine runs at once, so that together they fill the cores."""
    return max(1, (os.cpu_count() or 1) // workers)


def in_threads(
    function: Callable[[Item], Outcome], items: Iterable[Item], workers: int
) -> Generator[tuple[Item, Outcome], None, None]:
    """Yield every item and what the function made of it, as they are done.

    Raises what the function raises; what has not begun by then is left undone.
    """
    pool = ThreadPoolExecutor(workers)
    try:
        futures = {pool.submit(function, item): item for item in items}
        for future in as_completed(futures):
            yield futures.pop(future), future.result()
    finally:
        pool.shutdown(cancel_futures=True)
