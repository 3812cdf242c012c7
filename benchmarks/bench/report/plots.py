"""The plots of a report as PNG: what it takes, beside rivals and on its own. Needs matplotlib."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from textwrap import fill
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

from ..rows import OURS, Suite
from .bars import bars_figure
from .curves import work_figure
from .dots import floors_figure, times_figure
from .latest import Case, Latest
from .panels import by_network, by_points
from .tables import provenance

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE: Any = {
    "text.parse_math": False,  # names are no formulas
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
}
INK = "#666666"  # of the caption
LETTERS = 18  # of the caption, in an inch
_WHISKERS = "Whiskers: 10th to 90th percentile."
_RATIOS = f"{_WHISKERS} n×: the rival's time over ours; ≈ 1: the ranges overlap."
_FLOOR = f"{_WHISKERS} Floor: the least that the counted operations and bytes take on this machine."
READING = {
    "Features": _RATIOS,
    "Matching": _RATIOS,
    "Cost against work": f"{_FLOOR} Dashed: the power of the work that fits best.",
    "Time over the floor": _FLOOR,
}


def draw(latest: Latest) -> dict[str, bytes]:
    """The plots of a machine by their titles, as PNG, of the suites that it has."""
    with mpl.rc_context(STYLE):
        return {
            title: _png(_captioned(figure, READING[title], provenance(latest, suites)))
            for title, figure, suites in _figures(latest)
        }


def _figures(latest: Latest) -> Iterator[tuple[str, Figure, list[Suite]]]:
    """Titles, figures, and the suites that they show."""
    features, matching = (latest.cases(suite) for suite in ("features", "matching"))
    if panels := by_network(features):
        yield "Features", bars_figure(panels), ["features"]
    if panels := by_points(matching):
        yield "Matching", times_figure(panels), ["matching"]
    if work := [case for case in latest.cases("work") if case.spread(OURS)]:
        yield "Cost against work", work_figure(work), ["work"]
    if panels := [*by_network(_floored(features)), *by_points(_floored(matching))]:
        suites = dict.fromkeys(case.suite for panel in panels for case in panel.cases)
        yield "Time over the floor", floors_figure(panels), list(suites)


def _floored(cases: list[Case]) -> list[Case]:
    """Of each case the rows that tell the least time it could take."""
    return [replace(case, rows=tuple(row for row in case.rows if row.floor)) for case in cases]


def _captioned(figure: Figure, *lines: str) -> Figure:
    width = round(LETTERS * figure.get_figwidth())
    text = "\n".join(fill(line.replace("`", ""), width) for line in lines)
    figure.supxlabel(text, x=0.01, ha="left", fontsize=7, color=INK)
    return figure


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=150)
    return content.getvalue()
