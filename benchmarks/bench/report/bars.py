"""Contenders beside each other: bars with whiskers, grouped by case. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.patches import Patch

from ..rows import OURS, Row
from .colours import colours
from .labels import figure as number
from .latest import Case
from .panels import Panel, add_legend, contenders, laid_out, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

THICK, GAP = 0.15, 0.11  # inches of a bar, and between two cases
INK = "#333333"


def bars_figure(panels: Sequence[Panel]) -> Figure:
    """A panel for each group of cases; ours is the first bar, rivals carry their ratio."""
    palette = colours(contenders(panels))
    figure, places = laid_out(panels, _height, above=0.9)
    for (axes, height), panel in zip(places, panels, strict=True):
        _draw(axes, panel, palette, height)
    handles = [Patch(color=colour) for colour in palette.values()]
    add_legend(figure, handles, list(palette))
    return figure


def _height(panel: Panel) -> float:
    return sum(THICK * len(shown(case)) + GAP for case in panel.cases)


def _draw(axes: Axes, panel: Panel, palette: dict[str, str], height: float) -> None:
    """Bars from the top down; the axis is as high as the highest panel beside it."""
    top, middles = GAP / 2, []
    for case in panel.cases:
        first = top
        for row in shown(case):
            _bar(axes, case, row, top + THICK / 2, palette[row.contender])
            top += THICK
        middles.append((first + top) / 2)
        top += GAP
    ends = [row.spread.p90 for case in panel.cases for row in case.rows if row.spread]
    axes.set_yticks(middles, list(panel.names))
    axes.tick_params(axis="y", length=0)
    axes.set(xlim=(0, 1.16 * max(ends)), ylim=(height, 0), title=panel.title, xlabel="ms")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.grid(axis="x")


def _bar(axes: Axes, case: Case, row: Row, place: float, colour: str) -> None:
    spread = row.spread
    if spread is None:
        return
    axes.barh(place, spread.median, THICK * 0.9, color=colour)
    axes.plot([spread.p10, spread.p90], [place, place], color=INK, linewidth=1)
    ours = row.contender == OURS
    text = f"{number(spread.median)} ms" if ours else str(case.ratio(row.contender) or "")
    axes.annotate(
        text, (spread.p90, place), (3, 0), textcoords="offset points",
        va="center_baseline", fontsize=7, color=INK, weight="bold" if ours else "normal",
    )  # fmt: skip
