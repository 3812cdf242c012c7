"""Contenders on one logarithmic axis, where distances are ratios. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.lines import Line2D

from ..rows import OURS, Row
from .colours import colours
from .latest import Case
from .panels import Panel, add_legend, contenders, laid_out, logarithmic, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINE = 0.24  # inches of a case
APART = 0.36  # lines that the contenders of a case are spread over, so that none hides another
SIZES = {True: 6.5, False: 5.0}  # of our dot, of a rival's
INK = "#333333"
DOT: dict[str, Any] = {"marker": "o", "markeredgecolor": INK, "markeredgewidth": 0.4}


def times_figure(panels: Sequence[Panel]) -> Figure:
    """What each contender takes, with how the fastest rival stands to us at the right."""
    figure, places = _figure(panels)
    palette = colours(contenders(panels))
    for (axes, height), panel in zip(places, panels, strict=True):
        _draw(axes, panel, palette, height, over_floor=False)
        axes.set_xlabel("ms")
        for place, case in enumerate(panel.cases):
            fastest = case.fastest
            ratio = case.ratio(fastest.contender) if fastest else None
            _at_the_right(axes, place, str(ratio or ""))
        _at_the_right(axes, -0.95, "fastest\nrival")
    return figure


def floors_figure(panels: Sequence[Panel]) -> Figure:
    """How many times the least time that the counted operations and bytes take."""
    figure, places = _figure(panels)
    palette = colours(contenders(panels))
    for (axes, height), panel in zip(places, panels, strict=True):
        _draw(axes, panel, palette, height, over_floor=True)
        axes.axvline(1, color=INK, linewidth=1.2)
    ends = [end for axes, _ in places for end in axes.get_xlim()]
    for axes, _ in places:
        axes.set(xlim=(min(0.9, *ends), max(ends)), xlabel="times the floor")
        logarithmic(axes.xaxis, min(0.9, *ends), max(ends), unit="×")
    return figure


def _figure(panels: Sequence[Panel]) -> tuple[Figure, list[tuple[Axes, float]]]:
    figure, places = laid_out(panels, lambda panel: LINE * len(panel.cases), above=0.9)
    palette = colours(contenders(panels))
    handles = [Line2D([], [], linestyle="", color=each, **DOT) for each in palette.values()]
    add_legend(figure, handles, list(palette))
    return figure, places


def _draw(
    axes: Axes, panel: Panel, palette: dict[str, str], height: float, *, over_floor: bool
) -> None:
    """Cases from the top down; the axis is as high as the highest panel beside it."""
    ends: list[float] = []
    for place, case in enumerate(panel.cases):
        for row, at in zip(_back_to_front(case), _places(case, place), strict=True):
            ends += _dot(axes, row, at, palette[row.contender], over_floor=over_floor)
    axes.set_xscale("log")
    names = [name.replace("\n", ", ") for name in panel.names]  # a case has one line
    axes.set_yticks(range(len(panel.cases)), names)
    axes.tick_params(axis="y", length=0)
    axes.set(xlim=(min(ends) / 1.3, max(ends) * 1.3), ylim=(height / LINE - 0.5, -0.5))
    axes.set_title(panel.title)
    axes.grid(axis="both")
    logarithmic(axes.xaxis, min(ends), max(ends))


def _back_to_front(case: Case) -> list[Row]:
    """Ours is drawn last, over the others."""
    return shown(case)[::-1]


def _places(case: Case, place: int) -> list[float]:
    """Where on the vertical axis the contenders of a case lie."""
    count = len(shown(case))
    return [place + APART * (0.5 - (number + 0.5) / count) for number in range(count)]


def _dot(axes: Axes, row: Row, at: float, colour: str, *, over_floor: bool) -> list[float]:
    """Draw a median with its whiskers; return where these end."""
    scale = (row.floor or 1.0) if over_floor else 1.0
    if row.spread is None:
        return []
    low, high = row.spread.p10 / scale, row.spread.p90 / scale
    axes.plot([low, high], [at, at], color=colour, linewidth=1.4)
    size = SIZES[row.contender == OURS]
    axes.plot(row.spread.median / scale, at, color=colour, markersize=size, **DOT)
    return [low, high]


def _at_the_right(axes: Axes, place: float, text: str) -> None:
    axes.annotate(
        text, (1, place), (4, 0), xycoords=axes.get_yaxis_transform(),
        textcoords="offset points", va="center", fontsize=7, color=INK, annotation_clip=False,
    )  # fmt: skip
