"""Batches of any size on engines that take a few fixed ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Run(NamedTuple):
    """Items start to start + size, run together in a batch of `batch`, whose rest is idle."""

    start: int
    size: int
    batch: int


def runs(count: int, batches: Sequence[int] | None) -> Iterator[Run]:
    """How to run `count` items on an engine with these batch sizes; None takes any.

    As many of the largest batch as there are full ones, then the smallest that holds the rest.
    """
    sizes = batches or (count,)
    start = 0
    while start < count:
        left = count - start
        batch = next((each for each in sizes if each >= left), sizes[-1])
        yield Run(start, min(left, batch), batch)
        start += batch
