"""What a report is made of: the newest figures of one machine, case by case."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..rows import OURS, RATES, SUITES, Row, Run, Spread, Suite, read
from .ratio import Ratio


@dataclass(frozen=True)
class Case:
    """One thing that was done, and the rows of all who did it."""

    suite: Suite
    keys: Mapping[str, str | int]
    unit: str
    rows: tuple[Row, ...]

    def spread(self, contender: str) -> Spread | None:
        """A contender's figures; None where it has none."""
        return next((row.spread for row in self.rows if row.contender == contender), None)

    @property
    def fastest(self) -> Row | None:
        """The best rival's row; None where no rival was measured."""
        rivals = [row for row in self.rows if row.contender != OURS and row.spread]
        sign = -1 if self.unit in RATES else 1
        return min(rivals, key=lambda row: sign * _median(row), default=None)

    def ratio(self, rival: str) -> Ratio | None:
        """A rival's time over ours; None where one of the two was not measured or is nothing."""
        ours, theirs = self.spread(OURS), self.spread(rival)
        if ours is None or theirs is None or min(ours.p10, theirs.p10) <= 0:
            return None
        return Ratio.of(ours, theirs, self.unit)

    def holds(self, keys: Mapping[str, str | int]) -> bool:
        """Whether the case is one of those that these keys describe."""
        return keys.items() <= self.keys.items()


@dataclass(frozen=True)
class Latest:
    """Of one machine and one number of threads: for each suite the newest run that holds it."""

    runs: Mapping[Suite, Run]

    @property
    def newest(self) -> Run:
        """The run that was made last."""
        return max(self.runs.values(), key=lambda run: run.date)

    @property
    def machine(self) -> str:
        """The machine in a few words."""
        hardware = self.newest.hardware
        names = [str(hardware[key]) for key in ("gpu", "cpu") if hardware.get(key)]
        cores, threads = int(hardware["cores"] or 0), self.newest.threads
        return ", ".join([*names, _counted(cores, "core"), _counted(threads, "thread")])

    def cases(self, suite: Suite) -> list[Case]:
        """The cases of a suite in the order of the run, of which there may be none."""
        rows: dict[tuple[object, ...], list[Row]] = {}
        for row in self.runs[suite].rows if suite in self.runs else ():
            if row.suite == suite:
                rows.setdefault((row.unit, *row.case.items()), []).append(row)
        return [Case(suite, row[0].case, row[0].unit, tuple(row)) for row in rows.values()]


def machines(files: Sequence[Path]) -> list[Latest]:
    """The machines that these result files are of; of each suite and machine the newest run.

    Runs with different numbers of threads are kept apart as if they were of different machines.
    Raises what `rows.read` raises.
    """
    machines: dict[object, dict[Suite, Run]] = {}
    for run in sorted(_runs(files), key=lambda run: run.date):
        hardware = (run.hardware.get("gpu"), run.hardware["cpu"], run.hardware["cores"])
        found = machines.setdefault((*hardware, run.threads), {})
        found.update({row.suite: run for row in run.rows})
    return [
        Latest({suite: runs[suite] for suite in SUITES if suite in runs})
        for runs in machines.values()
        if runs
    ]


def _runs(files: Sequence[Path]) -> Iterator[Run]:
    for file in files:
        yield from read(file).runs


def _median(row: Row) -> float:
    return row.spread.median if row.spread else float("inf")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")
