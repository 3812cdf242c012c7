"""How times are taken.

GPU time: all calls of a contender, each on inputs of its own, are captured in one CUDA graph; its
replays lie between two events. So no launch from the host is in the time, and since the inputs are
three times the L2 cache together, none of a call's is still there from the replay before. As
called: the host's clock around one call from Python and the wait for its end. Contenders take
turns (A B C A B C …).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np

from geoaware.kernels.cuda.device import Device

Call = Callable[[], object]  # enqueues work; its results are kept until the measurement is over
Replay = Callable[[], object]

MOST_SETS = 64
# A graph of few calls has them several times, so that events and its start weigh little.
MOST_CALLS, ENOUGH_US = 20, 1000.0


@dataclass(frozen=True)
class Bench:
    """A device and how to measure on it.

    capture: what a function enqueues, as a function that enqueues it again. cache_bytes: of L2.
    """

    device: Device
    capture: Callable[[Callable[[], object]], Replay]
    cache_bytes: int
    repeats: int = 50
    calls: int = 200
    warm_up_s: float = 0.1

    def sets(self, nbytes: int) -> int:
        """How many input sets of so many bytes do not fit the cache together."""
        return min(MOST_SETS, max(2, math.ceil(3 * self.cache_bytes / nbytes)))


@dataclass(frozen=True)
class Contender:
    """One way to compute something: a call for each input set. capture: None for the bench's."""

    calls: Sequence[Call]
    capture: Callable[[Callable[[], object]], Replay] | None = None


@dataclass(frozen=True)
class Times:
    """Microseconds of one call."""

    median: float
    p10: float
    p90: float

    @classmethod
    def of(cls, microseconds: Sequence[float]) -> Times:
        """The median and the spread of repeated measurements."""
        p10, median, p90 = np.percentile(microseconds, [10, 50, 90]).tolist()
        return cls(median, p10, p90)

    def figures(self, name: str) -> dict[str, float]:
        """As entries of a result."""
        return {
            f"{name}_us": self.median,
            f"{name}_p10_us": self.p10,
            f"{name}_p90_us": self.p90,
        }


def gpu_times(bench: Bench, contenders: Mapping[str, Contender]) -> dict[str, Times]:
    """GPU time of one call of each contender."""
    graphs = {name: _Graph.of(bench, each) for name, each in contenders.items()}
    started = time.perf_counter()
    while time.perf_counter() - started < bench.warm_up_s:
        for graph in graphs.values():
            graph.replay()
        bench.device.stream.synchronize()
    taken = [
        (name, graph.timed_replay(bench.device))
        for _ in range(bench.repeats)
        for name, graph in graphs.items()
    ]
    bench.device.stream.synchronize()
    return {
        name: Times.of([us() / graph.count for each, us in taken if each == name])
        for name, graph in graphs.items()
    }


@dataclass(frozen=True)
class _Graph:
    replay: Replay
    count: int
    kept: list[object]  # results, into whose memory every replay writes

    @classmethod
    def of(cls, bench: Bench, contender: Contender) -> _Graph:
        calls = contender.calls
        _run(bench.device, calls)  # compiles, and makes what is made once
        started = time.perf_counter()
        _run(bench.device, calls)
        each_us = (time.perf_counter() - started) * 1e6 / len(calls)
        count = max(len(calls), min(MOST_CALLS, math.ceil(ENOUGH_US / each_us)))
        kept: list[object] = []

        def all_calls() -> None:
            kept.extend(call() for call in islice(cycle(calls), count))

        replay = (contender.capture or bench.capture)(all_calls)
        return cls(replay, count, kept)

    def timed_replay(self, device: Device) -> Callable[[], float]:
        """Enqueue a replay; its microseconds can be asked for after the stream's end."""
        start, end = device.new_event(timed=True), device.new_event(timed=True)
        start.record(device.stream)
        self.replay()
        end.record(device.stream)
        return lambda: end.milliseconds_since(start) * 1e3


def _run(device: Device, calls: Sequence[Call]) -> None:
    for call in calls:
        call()
    device.stream.synchronize()


def called_times(bench: Bench, contenders: Mapping[str, Contender]) -> dict[str, Times]:
    """Time of one call of each contender from Python, until its work on the GPU is done."""
    calls = {name: cycle(each.calls) for name, each in contenders.items()}
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    warm_up = max(len(each.calls) for each in contenders.values())
    for number in range(warm_up + bench.calls):
        for name, rest in calls.items():
            started = time.perf_counter()
            result = next(rest)()
            bench.device.stream.synchronize()
            if number >= warm_up:
                taken[name].append((time.perf_counter() - started) * 1e6)
            del result
    return {name: Times.of(each) for name, each in taken.items()}
