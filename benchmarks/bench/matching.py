"""The suite `matching`: descriptors to points, beside the same mathematics in plain PyTorch.

A few cells of one map, or all of them, are found in another: the most similar cell, and the
expected one around it, as `geoaware.kernels.SoftArgmax` has it. Maps are of unit norm, as every
bundle makes them; PyTorch is measured as people write it, which normalises both maps in every call,
and with that left out. Maps are on the device and answers on the host, for all.

Results of the first maps are compared before anything is timed. The ways of the two systems take
turns with each other, not with ours: a single call of theirs takes as long as many of ours. What
takes longer than LONGEST_SECONDS a call is not timed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from geoaware.kernels import SoftArgmax, match, sample
from geoaware.runtime.engines import HOST, Device
from geoaware.runtime.engines.gpu import NoGpuError, ready
from geoaware.runtime.errors import GeoAwareError, first_line

from .maps import Pair, asked_cells, map_pairs
from .rivals.matching_pytorch import MatchingRival
from .rows import OURS, Row, Spread
from .settings import Settings, Watch
from .timing import Call, Pace, interleaved

SOFT = SoftArgmax(window=7, temperature=0.1, variant="zeroed")
# How far expected cells may lie from ours. On 60 × 60 cells PyTorch's float32 sums lie up to 2.5e-3
# from those in float64, ours 5e-5.
CELLS_APART = 5e-3
LONGEST_SECONDS = 2.0  # of one call

COMPILED_POINTS, COMPILED_CHANNELS = (12, None), 768  # compiling takes long
SYSTEM_A, SYSTEM_B = "system A, all cells", "system B, point by point"
SYSTEM_POINTS = 12
FEW_PAIRS = 5  # where the time goes into computing: system A and B, and all cells


@dataclass(frozen=True)
class Case:
    """What is matched. points: None for all cells."""

    points: int | None
    grid: int
    channels: int

    @property
    def keys(self) -> dict[str, str | int]:
        """As the rows have it."""
        points = "all" if self.points is None else self.points
        return {"points": points, "grid": self.grid, "channels": self.channels}

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.keys.items())


@dataclass(frozen=True)
class Answer:
    """Where points were found. cells: (K, 2) expected; peaks: (K,) the most similar."""

    cells: np.ndarray[Any, Any]
    peaks: np.ndarray[Any, Any]


Ask = Callable[[], Answer]


def rows(settings: Settings, watch: Watch) -> Iterator[Row]:
    """Milliseconds of one direction of a match, for every grid, channels and points."""
    sizes = settings.sizes
    gpu = gpu_for(settings.device, watch)
    for grid in sizes.grids:
        for channels in sizes.channels:
            pairs = map_pairs(grid, channels)
            for points in sizes.points:
                case = Case(points, grid, channels)
                used = pairs[:FEW_PAIRS] if points is None else pairs
                watch.note(f"matching: {case}")
                yield from _measured(case, used, settings, gpu)


def _measured(case: Case, pairs: Sequence[Pair], settings: Settings, gpu: Any) -> Iterator[Row]:
    """The rows of a case: ours, then each rival that answers the same."""
    asks = {OURS: ours(case, pairs, gpu)}
    truth = asks[OURS][0]()
    missing: dict[str, str] = {}
    apart: dict[str, float] = {}
    try:
        rivals = _rivals(case, pairs, settings, gpu is not None)
    except GeoAwareError as error:
        rivals, missing["PyTorch eager"] = {}, str(error)
    for name, each in rivals.items():
        try:
            apart[name] = checked(each[0], truth)
            asks[name] = each
        except GeoAwareError as error:
            missing[name] = str(error)
    spreads = _times(asks, settings.pace)
    for name in (OURS, *apart, *missing):
        yield _row(case, name, spreads.get(name), apart.get(name), missing.get(name))


def _times(asks: dict[str, list[Ask]], pace: Pace) -> dict[str, Spread]:
    systems = {name: asks[name][:FEW_PAIRS] for name in asks if name in (SYSTEM_A, SYSTEM_B)}
    others = {name: calls for name, calls in asks.items() if name not in systems}
    # No engine is among them, whose threads would take longer to go to sleep.
    pace = replace(pace, pause=min(pace.pause, 0.01), short=min(pace.short, 0.02))
    few = replace(pace, repeats=min(pace.repeats, pace.least))
    return interleaved(_spaced(others), pace) | interleaved(systems, few)


def ours(case: Case, pairs: Sequence[Pair], gpu: Any) -> list[Ask]:
    """Our calls, one for each pair; on the host where there is no GPU."""
    cells = asked_cells(case.grid, case.points)
    if gpu is None:
        x, y = cells.T
        return [lambda s=s, t=t: _answer(match(s[y, x], t, SOFT)) for s, t in pairs]
    from geoaware.kernels.cuda.arrays import DeviceArray

    asked = DeviceArray.of(gpu, cells.astype(np.float32))
    there = [[DeviceArray.of(gpu, each) for each in pair] for pair in pairs]
    return [lambda s=s, t=t: _answer(match(sample(s, asked), t, SOFT).numpy()) for s, t in there]


def _answer(found: Any) -> Answer:
    return Answer(found.cells, found.peaks)


def _rivals(
    case: Case, pairs: Sequence[Pair], settings: Settings, on_gpu: bool
) -> dict[str, list[Ask]]:
    """Calls of every rival that the case has. Raises GeoAwareError where PyTorch is missing."""
    cells = asked_cells(case.grid, case.points)
    rival = MatchingRival.of(case.grid, cells, SOFT, settings.threads, on_gpu)
    import torch

    ways = {"PyTorch eager": rival.match, "PyTorch eager, unit inputs": rival.match_unit}
    if _is_compiled(case, settings):
        ways["PyTorch compiled"] = torch.compile(rival.match, dynamic=False)
    if case.points == SYSTEM_POINTS:
        ways |= {SYSTEM_A: rival.match_all, SYSTEM_B: rival.match_one_by_one}
    tensors = [tuple(rival.tensor(each) for each in pair) for pair in pairs]

    def ask(way: Callable[..., Any], source: torch.Tensor, target: torch.Tensor) -> Answer:
        with torch.inference_mode():
            return Answer(*(each.numpy() for each in way(source, target)))

    return {
        name: [lambda w=way, s=s, t=t: ask(w, s, t) for s, t in tensors]
        for name, way in ways.items()
    }


def _is_compiled(case: Case, settings: Settings) -> bool:
    """Compiling takes long: only the largest grid, at the usual number of channels."""
    largest = case.grid == max(settings.sizes.grids)
    return largest and case.channels == COMPILED_CHANNELS and case.points in COMPILED_POINTS


def checked(ask: Ask, truth: Answer) -> float:
    """How far a rival's cells lie from ours.

    Raises GeoAwareError where it computes something else, takes too long, or fails.
    """
    try:
        answer = ask()
    except Exception as error:  # PyTorch and its compiler fail in their own ways
        raise GeoAwareError(f"fails: {first_line(error)}") from None
    if other := int((answer.peaks != truth.peaks).sum()):
        raise GeoAwareError(f"computes something else: {other} of {len(truth.peaks)} peaks differ")
    apart = float(abs(answer.cells - truth.cells).max())
    if not apart <= CELLS_APART:
        raise GeoAwareError(f"computes something else: cells lie up to {apart:.2g} from ours")
    started = time.perf_counter()
    ask()
    if (seconds := time.perf_counter() - started) > LONGEST_SECONDS:
        raise GeoAwareError(f"one call takes {seconds:.1f} s, more than {LONGEST_SECONDS:g} s")
    return apart


def _spaced(asks: dict[str, list[Ask]]) -> dict[str, Sequence[Call]]:
    """Each contender begins with other maps, so that none finds what the one before has read."""
    spaced: dict[str, Sequence[Call]] = {}
    for number, (name, calls) in enumerate(asks.items()):
        start = number * len(calls) // len(asks)
        spaced[name] = [*calls[start:], *calls[:start]]
    return spaced


def _row(
    case: Case, name: str, spread: Spread | None, difference: float | None, missing: str | None
) -> Row:
    return Row(
        suite="matching",
        case=case.keys,
        contender=name,
        unit="ms",
        spread=spread,
        difference=difference,
        missing=missing,
    )


def gpu_for(device: Device, watch: Watch) -> Any:
    """The GPU to match on, None for the host. Raises GeoAwareError where one is asked for in vain.

    As for a bundle: with `auto` a GPU that does not work is said and passed over.
    """
    if device in HOST:
        return None
    try:
        return ready()
    except NoGpuError:
        if device != "auto":
            raise
        return None
    except GeoAwareError as error:
        if device != "auto":
            raise
        watch.note(f"matching: on the processor: {first_line(error)}")
        return None
