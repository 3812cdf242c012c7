"""How times are taken: contenders in turn, each on inputs that the caches do not hold."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

from .rows import Spread

Call = Callable[[], object]


@dataclass(frozen=True)
class Pace:
    """How often something is measured.

    repeats: so many times, or as often as goes into `seconds`, but in at least `least` turns.
    pause: seconds before every turn, in which the threads of the contender before go to sleep.
    short: seconds. Where the fastest contender's calls take less, every contender's turn begins
        with an untimed call, which wakes its threads, and lasts so long.
    """

    repeats: int = 20
    seconds: float = 3.0
    least: int = 5
    pause: float = 0.03
    short: float = 0.05


def interleaved(
    contenders: Mapping[str, Sequence[Call]], pace: Pace | None = None
) -> dict[str, Spread]:
    """The spread of `times`: milliseconds of one call of each contender."""
    return {name: Spread.of(values) for name, values in times(contenders, pace).items()}


def times(
    contenders: Mapping[str, Sequence[Call]], pace: Pace | None = None
) -> dict[str, list[float]]:
    """Milliseconds of single calls of each contender; they take turns (A B C A B C …).

    contenders: each one's calls, which do the same on inputs of their own; they are taken in
    rotation, so that what one reads is no longer in the caches when it is read again.

    Every call runs once before, untimed: it compiles, and makes what is made once.
    """
    pace = pace or Pace()
    rotations: dict[str, Iterator[Call]] = {}
    fastest = math.inf
    for name, calls in contenders.items():
        fastest = min(fastest, *(_seconds(call) for call in (*calls, calls[0])))
        rotations[name] = cycle(calls)
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    turns = 0
    while turns < pace.least or not all(_enough(values, pace) for values in taken.values()):
        for name, rotation in rotations.items():
            time.sleep(pace.pause)
            taken[name] += _turn(rotation, pace.short if fastest < pace.short else 0)
        turns += 1
    return {name: [1000 * each for each in values] for name, values in taken.items()}


def _turn(calls: Iterator[Call], fill: float) -> list[float]:
    """One call's seconds; or, after an untimed call, of as many as fill so many seconds."""
    if fill:
        next(calls)()
    values = [_seconds(next(calls))]
    while sum(values) < fill:
        values.append(_seconds(next(calls)))
    return values


def _enough(values: list[float], pace: Pace) -> bool:
    return len(values) >= pace.repeats or sum(values) >= pace.seconds


def _seconds(call: Call) -> float:
    started = time.perf_counter()
    result = call()
    seconds = time.perf_counter() - started
    del result
    return seconds
