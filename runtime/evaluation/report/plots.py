"""Plots of a run, each once for light and once for dark pages. Needs matplotlib."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable, Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from numpy.typing import NDArray

from ..outcome import Outcome
from ..results import ProtocolResult, key
from . import verdicts
from .document import Figure
from .tables import middle

LARGEST_ALPHA = 0.3  # of the curves, where no larger one is reported
ERRORS = (0.003, 3.0)  # what the histogram's axis spans; its last bins take what lies beyond
WIDTH = 6.2  # inches

_INK, _FAINT = {"light": "#222222", "dark": "#dddddd"}, {"light": "#cccccc", "dark": "#555555"}
# Okabe and Ito's colours, told apart by people with any colour vision.
COLOURS = {
    "light": ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"),
    "dark": ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442"),
}
Draw = Callable[[Axes, Sequence[str], str], None]

_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1)))


def drawn(caption: str, draw: Draw, height: float = 3.4) -> Figure:
    """What `draw(axes, colours, ink)` draws, in the colours of a light and of a dark page."""
    light, dark = (_svg(draw, theme, height) for theme in ("light", "dark"))
    return Figure(caption, light, dark)


def curves(results: Mapping[str, ProtocolResult], outcomes: Sequence[Outcome]) -> Figure:
    """PCK per image over alpha, a curve for each protocol; marks where the first is reported."""
    first = next(iter(results.values()))
    end = max(LARGEST_ALPHA, *first.alphas)
    alphas = np.linspace(0, end, 61)
    shares = _joined({name: _mean_pck(name, outcomes, alphas) for name in results})

    def draw(axes: Axes, colours: Sequence[str], ink: str) -> None:
        for number, (name, pck) in enumerate(shares.items()):
            (curve,) = axes.plot(alphas, pck, label=name, linewidth=1.6 if number else 2.4)
            curve.set(color=colours[number % 5], linestyle=_DASHES[number % 5])
        marks = list(first.overall.per_image.values())
        axes.plot(first.alphas, marks, "o", color=colours[0], markersize=6, clip_on=False)
        axes.set(xlabel="alpha", ylabel="PCK per image, %", xlim=(0, end), ylim=(0, 100))
        axes.legend(loc="lower right", frameon=False, labelcolor=ink)

    return drawn(
        f"PCK per image over alpha, by protocol. Dots: the alphas of protocol {first.name}.", draw
    )


def category_bars(result: ProtocolResult) -> Figure:
    """PCK per image of every category at the protocol's middle alpha."""
    alpha = key(middle(result.alphas))
    shares = {name: scores.per_image[alpha] for name, scores in result.categories.items()}
    overall = result.overall.per_image[alpha]

    def draw(axes: Axes, colours: Sequence[str], ink: str) -> None:
        axes.barh(range(len(shares)), list(shares.values()), 0.7, color=colours[0])
        for row, share in enumerate(shares.values()):
            axes.text(102, row, f"{share:.1f}", color=ink, fontsize=9, va="center")
        axes.axvline(overall, color=ink, linewidth=1, linestyle="--")
        axes.set(xlabel=f"PCK@{alpha} per image, %", xlim=(0, 100))
        name_rows(axes, list(shares))

    caption = f"PCK@{alpha} per image by category, protocol {result.name}. Dashed: all pairs."
    return drawn(caption, draw, rows_height(len(shares)))


def error_histogram(result: ProtocolResult, outcomes: Sequence[Outcome]) -> Figure:
    """How far predictions lie from the truth, in units of the protocol's reference length."""
    errors = np.concatenate([verdicts.relative_errors(result.name, each) for each in outcomes])
    shown = errors[np.isfinite(errors)].clip(*ERRORS)
    bins = np.geomspace(*ERRORS, 46)
    weights = np.full(len(shown), 100 / max(1, len(shown)))

    def draw(axes: Axes, colours: Sequence[str], ink: str) -> None:
        axes.hist(shown, bins.tolist(), weights=weights, color=colours[0])
        axes.set_xscale("log")
        ticks = [0.003, 0.01, 0.03, 0.1, 0.3, 1, 3]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        for alpha in result.alphas:
            axes.axvline(alpha, color=colours[1], linewidth=1.4, linestyle="--")
        axes.set(xlabel="distance / reference length", ylabel="keypoints, %", xlim=ERRORS)

    return drawn(
        f"Distance from the truth in reference lengths, protocol {result.name}. "
        "Dashed: the alphas. The outermost bins hold all that lies beyond them.",
        draw,
    )


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Name rows 0, 1, … on the y axis, from the top down."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)


def rows_height(rows: int) -> float:
    """The height in inches of a plot of so many rows."""
    return 0.8 + 0.24 * rows


def _mean_pck(
    protocol: str, outcomes: Sequence[Outcome], alphas: NDArray[np.float64]
) -> NDArray[np.float64]:
    total = np.zeros(len(alphas))
    for outcome in outcomes:
        total += verdicts.correct(protocol, outcome, alphas.tolist()).mean(axis=0)
    return 100 * total / len(outcomes)


def _joined(curves: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Curves by name; those that no eye could tell apart become one with both their names."""
    joined: dict[str, NDArray[np.float64]] = {}
    for name, curve in curves.items():
        same = [each for each, known in joined.items() if np.abs(known - curve).max() < 0.2]
        joined = {f"{each}, {name}" if each in same else each: joined[each] for each in joined}
        if not same:
            joined[name] = curve
    return joined


def _svg(draw: Draw, theme: str, height: float) -> str:
    file = io.BytesIO()
    # Text stays text: the reader's fonts know more scripts than matplotlib's, which warns of it.
    # Names are no formulas, and the same plot gives the same file.
    with (
        mpl.rc_context(
            {"svg.fonttype": "none", "svg.hashsalt": "geoaware", "text.parse_math": False}
        ),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        canvas = Canvas(figsize=(WIDTH, height), layout="constrained")
        _draw(canvas.subplots(), draw, theme)
        canvas.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(file.getvalue()).decode()


def _draw(axes: Axes, draw: Draw, theme: str) -> None:
    ink = _INK[theme]
    axes.grid(color=_FAINT[theme], linewidth=0.6)
    axes.set_axisbelow(True)
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(ink)
    axes.tick_params(colors=ink)
    draw(axes, COLOURS[theme], ink)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(ink)
