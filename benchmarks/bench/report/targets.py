"""What was to be reached, as data, and whether it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from ..rows import OURS, SUITES, Suite
from . import labels
from .latest import Case, Latest
from .markdown import joined, table
from .ratio import Ratio
from .tables import NOTHING, provenance

Verdict = Literal["not measured", "not met", "within the noise", "met"]  # the worst first
_VERDICTS = get_args(Verdict)


@dataclass(frozen=True)
class Target:
    """So many times as fast as somebody else, in every case that has these keys.

    rival: None stands for the fastest rival of each case.
    instead: where given, we are held against ourselves in the case with these keys instead.
    """

    name: str
    suite: Suite
    keys: Mapping[str, str | int]
    wanted: float
    rival: str | None = None
    instead: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True)
class Reached:
    """How far a target was reached: in its worst case, against whom."""

    target: Target
    ratio: Ratio | None = None
    where: str = ""
    reason: str | None = None

    @property
    def verdict(self) -> Verdict:
        """Met or not; neither where the 10th to 90th percentiles of both allow for both."""
        if self.ratio is None:
            return "not measured"
        if self.ratio.low >= self.target.wanted:
            return "met"
        return "not met" if self.ratio.high < self.target.wanted else "within the noise"


def _features(recipe: str, precision: str) -> Target:
    return Target(
        f"features of `{recipe}` at {precision}, against the fastest rival",
        "features",
        {"recipe": recipe, "precision": precision},
        1.0,
    )


def _int8(recipe: str) -> Target:
    return Target(
        f"features of `{recipe}` at int8, against our fp32",
        "features",
        {"recipe": recipe, "precision": "int8"},
        1.4,
        instead={"precision": "fp32"},
    )


_LARGE = {"grid": 60, "channels": 768}
TARGETS = (
    *(_features(recipe, kind) for recipe in ("lite", "dinov2-s") for kind in ("fp32", "int8")),
    *map(_int8, ("lite", "dinov2-s")),
    Target(
        "matching 12 points, 60×60×768, against PyTorch eager, which normalises",
        "matching",
        {"points": 12, **_LARGE},
        5.0,
        "PyTorch eager",
    ),
    Target(
        "matching all cells, 60×60×768, against PyTorch eager, which normalises",
        "matching",
        {"points": "all", **_LARGE},
        1.5,
        "PyTorch eager",
    ),
    Target(
        "a cold `georun match`, against a minimal PyTorch script",
        "match",
        {"recipe": "lite", "precision": "fp32", "what": "cold"},
        3.0,
    ),
)


def reached(latest: Latest, target: Target) -> Reached:
    """How far a target was reached, in the case with the worst verdict and the least ratio."""
    found = list(_compared(latest, target))
    if not found:
        return Reached(target, reason=_reason(latest, target))
    return min(found, key=_order)


def targets_table(latest: Latest) -> str:
    """Every target: what was wanted, what was reached where it is hardest, and whether it holds."""
    rows = []
    for target in TARGETS:
        each = reached(latest, target)
        ratio = each.ratio
        figures = f"{ratio.median:.2f} ({ratio.low:.2f}–{ratio.high:.2f})" if ratio else NOTHING
        where = each.where or each.reason or ""
        rows.append((target.name, where, each.verdict, f"{target.wanted:g}×", figures))
    header = ("target", "the worst case", "", "wanted", "reached")
    note = (
        "Reached: the other's time over ours, of medians; in brackets what the 10th to 90th "
        "percentiles of both allow. Where that range holds the wanted ratio, it is “within the "
        "noise”."
    )
    return joined(table(header, rows, words=3), note, provenance(latest, SUITES))


def _order(each: Reached) -> tuple[int, float]:
    return _VERDICTS.index(each.verdict), each.ratio.median if each.ratio else 0.0


def _compared(latest: Latest, target: Target) -> Iterator[Reached]:
    """The target in every case of time where both were measured."""
    cases = [case for case in latest.cases(target.suite) if case.unit == "ms"]
    for case in cases:
        if not case.holds(target.keys):
            continue
        if target.instead:
            other = _other(cases, case, target)
            rival, ratio = "our fp32", _against(case, other) if other else None
        else:
            rival = target.rival or (case.fastest.contender if case.fastest else "")
            ratio = case.ratio(rival)
        if ratio:
            yield Reached(target, ratio, f"{labels.label(case.suite, case.keys)}: {rival}")


def _other(cases: list[Case], case: Case, target: Target) -> Case | None:
    keys = {**case.keys, **target.instead}
    return next((each for each in cases if each.keys == keys), None)


def _against(case: Case, other: Case) -> Ratio | None:
    """How many times as fast we are in a case as in another."""
    ours, theirs = case.spread(OURS), other.spread(OURS)
    return Ratio.of(ours, theirs, case.unit) if ours and theirs else None


def _reason(latest: Latest, target: Target) -> str | None:
    """Why we were not measured in the first of a target's cases that says so."""
    cases = (case for case in latest.cases(target.suite) if case.holds(target.keys))
    rows = (row for case in cases for row in case.rows if row.contender == OURS)
    return next((row.missing for row in rows if row.missing), None)
