"""The figures a user asks for first, each beside the fastest rival."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..rows import OURS, Suite
from . import labels
from .latest import Case, Latest
from .markdown import joined, table
from .tables import NOTHING, provenance

EAGER = "PyTorch eager"


@dataclass(frozen=True)
class Line:
    """A line of the summary: the first measured case of a suite with these keys and this unit."""

    name: str
    suite: Suite
    keys: Mapping[str, str | int]
    unit: str = "ms"


def _features(recipe: str, precision: str) -> Line:
    keys: dict[str, str | int] = {
        "recipe": recipe,
        "precision": precision,
        "batch": 1,
        "from": "file",
    }
    return Line(f"features of an image, `{recipe}` {precision}", "features", keys)


_LARGE = {"grid": 60, "channels": 768}
_LITE = {"recipe": "lite", "precision": "fp32"}
LINES = (
    *(_features(recipe, kind) for recipe in ("lite", "dinov2-s") for kind in ("fp32", "int8")),
    Line("matching 12 points, 60×60×768", "matching", {"points": 12, **_LARGE}),
    Line("matching all cells, 60×60×768", "matching", {"points": "all", **_LARGE}),
    Line("`georun match` of two images", "match", {**_LITE, "what": "cold"}),
    Line("the same in a running program", "match", {**_LITE, "what": "warm"}),
    Line("`georun match`, one image against 100", "match", {**_LITE, "what": "one against 100"}),
    Line("evaluation", "evaluation", {"recipe": "lite", "what": "pairs"}, "pairs/s"),
)


def summary_table(latest: Latest) -> str:
    """At most twelve lines: our median and range, PyTorch eager and the fastest rival."""
    rows, suites = [], []
    for line in LINES:
        case = _case(latest, line)
        if case:
            suites.append(line.suite)
            rows.append(_row(line, case))
    header = ("", OURS, EAGER, "fastest rival")
    return joined(table(header, rows), provenance(latest, suites))


def _case(latest: Latest, line: Line) -> Case | None:
    found = (
        case
        for case in latest.cases(line.suite)
        if case.unit == line.unit and case.holds(line.keys) and case.spread(OURS)
    )
    return next(found, None)


def _row(line: Line, case: Case) -> tuple[str, ...]:
    ours, fastest = case.spread(OURS), case.fastest
    name = line.name + (" (random weights)" if labels.is_random(case.keys) else "")
    best = f"{fastest.contender}, {_rival(case, fastest.contender)}" if fastest else NOTHING
    return name, labels.spread_text(ours, case.unit) if ours else NOTHING, _rival(case, EAGER), best


def _rival(case: Case, contender: str) -> str:
    """A rival's figure with its ratio."""
    spread, ratio = case.spread(contender), case.ratio(contender)
    return f"{labels.figure(spread.median)} {case.unit}, **{ratio}**" if spread else NOTHING
