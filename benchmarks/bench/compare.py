"""Two runs on one machine against each other: did something get slower, or is it noise?

A median is called worse where two things hold together.

- The 10th to 90th percentiles of the two runs lie apart: nearly all that was measured now is worse
  than nearly all that was measured before. This compares single measurements, not the standard
  error of their median: that shrinks with their number while the drift between two runs does not,
  so that with hundreds of repetitions every run would differ from every other.
- It is worse by at least 5 %. Spreads may be narrower than the machine's drift from one run to the
  next (clock, placement in memory), which no repetition within a run shows.

With noise of 5 % and 20 measurements, fewer than one in a thousand unchanged figures are called
worse, and 99 in a hundred of those that became 20 % slower; a test simulates it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from pathlib import Path
from statistics import median
from typing import Literal

from pydantic import BaseModel, ConfigDict

from geoaware.runtime.errors import InputError

from .rows import OURS, RATES, Row, Run, Spread, Suite, read

Verdict = Literal["worse", "better", "no clear difference", "too few"]

LEAST_SHARE = 0.05
FEWEST = 5  # measurements of a time or a rate that tell anything of its noise
TIMED = RATES | {"ms"}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Change(_Strict):
    """What became of one contender's figure in one case.

    factor: how many times as much it takes now; of a rate, how many times less is done. Above 1 is
    always worse.
    """

    suite: Suite
    case: dict[str, str | int]
    contender: str
    unit: str
    old: Spread
    new: Spread
    factor: float
    verdict: Verdict


class Side(_Strict):
    """One of the two runs; `only_here`: the rows measured in it and not in the other."""

    command: str
    date: str
    commit: str
    versions: dict[str, str]
    only_here: tuple[Row, ...]


class Comparison(_Strict):
    """A run against an older one.

    drift: the median factor of what is not ours; None where nothing else was measured. Far from 1
    it says that the machine changed, and our factors with it.
    """

    schema_version: Literal[1] = 1
    old: Side
    new: Side
    changes: tuple[Change, ...]
    drift: float | None

    @property
    def worse(self) -> tuple[Change, ...]:
        """Our own figures that got worse."""
        return tuple(
            each for each in self.changes if each.contender == OURS and each.verdict == "worse"
        )

    @property
    def lost(self) -> tuple[Row, ...]:
        """Our own figures of the old run that the new one should have, and has not."""
        return tuple(row for row in self.old.only_here if row.contender == OURS)


def compare(old: Path, new: Path) -> Comparison:
    """Compare the last run of a result file with the last one of another that has its suites.

    Both may be the same file: then its last run is compared with the one before.

    Raises InputError where there is no such run, the two were not measured on the same hardware
    with the same number of threads, or none of our figures is in both; and what `rows.read` raises.
    """
    newest = read(new).runs[-1]
    before = read(old).runs
    if old.resolve() == new.resolve():
        before = before[:-1]
    wanted = _suites(newest)
    having = [run for run in before if wanted <= _suites(run)]
    if not having:
        earlier = "earlier " if old.resolve() == new.resolve() else ""
        raise InputError(f"{old}: holds no {earlier}run with all of {', '.join(sorted(wanted))}")
    _check_comparable(having[-1], newest)
    found = compared(having[-1], newest)
    _check_compared(found)
    return found


def compared(old: Run, new: Run) -> Comparison:
    """Compare two runs row by row, in the suites of the newer one; of the same command, in all."""
    suites = _suites(old) if old.command == new.command else _suites(new)
    olds = {_key(row): row for row in old.rows if row.spread and row.suite in suites}
    news = {_key(row): row for row in new.rows if row.spread}
    changes = tuple(_change(olds[key], row) for key, row in news.items() if key in olds)
    others = [each.factor for each in changes if each.contender != OURS and each.unit in TIMED]
    return Comparison(
        old=_side(old, [row for key, row in olds.items() if key not in news]),
        new=_side(new, [row for key, row in news.items() if key not in olds]),
        changes=changes,
        drift=median(others) if others else None,
    )


def verdict(old: Spread, new: Spread, unit: str) -> Verdict:
    """Whether a figure got worse or better beyond the noise, by the rule of this module."""
    if unit in TIMED and min(old.count, new.count) < FEWEST:
        return "too few"
    more, less = (new, old) if new.median > old.median else (old, new)
    if less.p90 >= more.p10 or more.median < (1 + LEAST_SHARE) * less.median:
        return "no clear difference"
    return "worse" if (more is new) != (unit in RATES) else "better"


def _change(old: Row, new: Row) -> Change:
    assert old.spread
    assert new.spread
    return Change(
        suite=new.suite,
        case=new.case,
        contender=new.contender,
        unit=new.unit,
        old=old.spread,
        new=new.spread,
        factor=_factor(old.spread.median, new.spread.median, new.unit),
        verdict=verdict(old.spread, new.spread, new.unit),
    )


def _factor(old: float, new: float, unit: str) -> float:
    before, now = (new, old) if unit in RATES else (old, new)
    if before == now:
        return 1.0
    return now / before if before else inf


def _side(run: Run, only_here: Sequence[Row]) -> Side:
    return Side(
        command=run.command,
        date=run.date,
        commit=run.commit,
        versions=run.versions,
        only_here=tuple(only_here),
    )


def _suites(run: Run) -> set[Suite]:
    return {row.suite for row in run.rows}


def _key(row: Row) -> tuple[object, ...]:
    return row.suite, tuple(sorted(row.case.items())), row.contender, row.unit


def _check_compared(comparison: Comparison) -> None:
    """Raise InputError where we were measured, and no figure of ours has anything beside it."""
    alone = any(
        row.contender == OURS for side in (comparison.old, comparison.new) for row in side.only_here
    )
    if alone and not any(each.contender == OURS for each in comparison.changes):
        raise InputError(
            "nothing of ours was measured in both runs: "
            f"`{comparison.old.command}` and `{comparison.new.command}`"
        )


def _check_comparable(old: Run, new: Run) -> None:
    for name in ("cpu", "gpu", "cores", "instructions"):
        before, now = old.hardware.get(name), new.hardware.get(name)
        if before != now:
            raise InputError(f"measured on different hardware: {name} {before} and {now}")
    if old.threads != new.threads:
        raise InputError(
            f"measured with {old.threads} and with {new.threads} threads; "
            f"run again with --threads {old.threads}"
        )
