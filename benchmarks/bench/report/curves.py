"""Cost against work, with the power of the work that fits it. Needs matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from ..rows import OURS
from ..work import fit
from .latest import Case
from .panels import logarithmic
from .tables import work_points

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 3
LABELS = {
    "frame side": "pixels a side",
    "grid": "cells a side",
    "batch": "images in a batch",
    "pairs": "pairs of images",
}
OUR_COLOUR, LINE, GREY = "#0072b2", "#d55e00", "#777777"
Point = tuple[float, float]


def work_figure(cases: Sequence[Case]) -> Figure:
    """A panel for each kind of work: our times, and the power of the work that fits them.

    cases: of the suite `work`, all with figures of ours.
    """
    kinds = [list(found) for _, found in groupby(cases, lambda case: case.keys["what"])]
    columns = min(COLUMNS, len(kinds))
    lines = math.ceil(len(kinds) / columns)
    figure = Figure(figsize=(3.4 * columns, 2.7 * lines + 0.3), layout="constrained")
    for place, found in enumerate(kinds):
        _draw(figure.add_subplot(lines, columns, place + 1), found)
    return figure


def _draw(axes: Axes, cases: Sequence[Case]) -> None:
    kind, points = str(cases[0].keys["what"]), work_points(cases)
    axes.set_xscale("log")
    axes.set_yscale("log")
    title = kind
    if len(points) > 1:
        exponent = fit(points)
        axes.plot(*_line(points, exponent), "--", color=LINE, linewidth=1.2)
        title += f", exponent {exponent:.2f}"
    _draw_points(axes, cases)
    axes.set(title=title, xlabel=LABELS.get(kind, kind), ylabel="ms")
    ticks = [at for at, _ in points[:: -math.ceil(len(points) / 6)]]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    floors = _draw_floor(axes, cases)
    times = [*floors, *(time for _, time in points)]
    logarithmic(axes.yaxis, min(times), max(times))
    axes.grid(axis="both")


def _draw_points(axes: Axes, cases: Sequence[Case]) -> None:
    for case in cases:
        if spread := case.spread(OURS):
            at = float(case.keys["at"])
            axes.plot([at, at], [spread.p10, spread.p90], color=OUR_COLOUR, linewidth=1.4)
            axes.plot(at, spread.median, "o", color=OUR_COLOUR, markersize=4.5)


def _draw_floor(axes: Axes, cases: Sequence[Case]) -> list[float]:
    """The least time that the counted operations and bytes take, named at its last point."""
    rows = [(float(case.keys["at"]), row.floor) for case in cases for row in case.rows]
    floors = sorted((at, floor) for at, floor in rows if floor)
    if floors:
        axes.plot(*zip(*floors, strict=True), color=GREY, linewidth=1)
        axes.annotate(
            "floor", floors[-1], (4, 0), textcoords="offset points", va="center", fontsize=7,
            color=GREY,
        )  # fmt: skip
    return [floor for _, floor in floors]


def _line(points: Sequence[Point], exponent: float) -> tuple[list[float], list[float]]:
    """The power law with this exponent through the middle of the points, in logarithms."""
    x = [math.log(at) for at, _ in points]
    y = [math.log(taken) for _, taken in points]
    shift = sum(y) / len(y) - exponent * sum(x) / len(x)
    ends = [x[0], x[-1]]
    return [math.exp(each) for each in ends], [math.exp(shift + exponent * each) for each in ends]
