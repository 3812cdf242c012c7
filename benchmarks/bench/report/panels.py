"""Cases that share an axis, and how such axes look. Needs matplotlib."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from ..rows import OURS, Row
from . import labels
from .latest import Case

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

COLUMNS = 2
WIDTH = 5.2  # inches of a column
AROUND = 0.75  # inches of a panel's title and axis


@dataclass(frozen=True)
class Panel:
    """Cases on one axis, and what each is called there."""

    title: str
    cases: Sequence[Case]
    names: Sequence[str]


def by_network(cases: Sequence[Case]) -> list[Panel]:
    """Features by recipe and precision."""
    panels = []
    for (recipe, precision), found in _grouped(cases, "recipe", "precision"):
        sides = {case.keys["frame"] for case in found}
        side = f", {found[0].keys['frame']} px" if len(sides) == 1 else ""
        random = ", random weights" if labels.is_random(found[0].keys) else ""
        names = [
            f"{case.keys['from']}\nbatch {case.keys['batch']}"
            + ("" if side else f", {case.keys['frame']} px")
            for case in found
        ]
        panels.append(Panel(f"{recipe}, {precision}{side}{random}", found, names))
    return panels


def by_points(cases: Sequence[Case]) -> list[Panel]:
    """Matching by the number of points."""
    panels = []
    for (points,), found in _grouped(cases, "points"):
        names = [labels.size(case.keys) for case in found]
        panels.append(Panel(labels.points(points), found, names))
    return panels


def laid_out(
    panels: Sequence[Panel], height: Callable[[Panel], float], above: float
) -> tuple[Figure, list[tuple[Axes, float]]]:
    """A figure with two panels beside each other; each one's axes, and its inches for rows.

    height: the inches that a panel's rows take. above: the inches of what is above all panels.
    """
    lines = [panels[start : start + COLUMNS] for start in range(0, len(panels), COLUMNS)]
    heights = [max(map(height, line)) for line in lines]
    columns = min(COLUMNS, len(panels))
    total = sum(heights) + AROUND * len(lines) + above
    figure = Figure(figsize=(WIDTH * columns, total), layout="constrained")
    ratios = [each + AROUND for each in heights]
    grid = figure.add_gridspec(len(lines), columns, height_ratios=ratios)
    places = [divmod(number, columns) for number in range(len(panels))]
    return figure, [(figure.add_subplot(grid[place]), heights[place[0]]) for place in places]


def add_legend(figure: Figure, handles: Sequence[Artist], names: Sequence[str]) -> None:
    """Name the contenders above all panels, in lines of equal length."""
    most = 5 if figure.get_figwidth() > WIDTH else 2
    lines = math.ceil(len(names) / most)
    columns = math.ceil(len(names) / lines)
    figure.legend(handles, names, loc="outside upper left", ncols=columns, frameon=False)


def logarithmic(axis: Axis, least: float, most: float, unit: str = "") -> None:
    """Name 1, 10, 100 … on a logarithmic axis, and 2 and 5 between them where it is short."""
    subs = (1.0, 2.0, 5.0) if most < 30 * least else (1.0,)
    axis.set_major_locator(LogLocator(subs=subs, numticks=20))
    axis.set_major_formatter(lambda value, _: f"{value:,g}{unit}")
    axis.set_minor_formatter(NullFormatter())


def shown(case: Case) -> list[Row]:
    """The rows that have figures, ours first."""
    return sorted((row for row in case.rows if row.spread), key=lambda row: row.contender != OURS)


def contenders(panels: Sequence[Panel]) -> list[str]:
    """Everybody who has a figure in one of the panels."""
    rows = (row for panel in panels for case in panel.cases for row in shown(case))
    return list(dict.fromkeys(row.contender for row in rows))


def _grouped(
    cases: Sequence[Case], *keys: str
) -> Iterator[tuple[tuple[str | int, ...], list[Case]]]:
    """Cases that have figures by the values of these keys, in the order of the first of each."""
    found: dict[tuple[str | int, ...], list[Case]] = {}
    for case in cases:
        if shown(case):
            found.setdefault(tuple(case.keys[key] for key in keys), []).append(case)
    yield from found.items()
