"""Curves of runs of training: PCK of the validations, and below it all else that was written down.

Needs matplotlib.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..runtime.errors import GeoAwareError, InputError
from ..runtime.files import check_writable, replacing
from . import run_record
from .journal import read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
COLUMNS = 3  # of the small plots
SMOOTHED = 50  # the bold curve is a mean over a 50th of the run's points

# Okabe and Ito's colours, told apart by people with any colour vision. Of curves that coincide
# all are seen: the later, the thinner and the more broken.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")
DASHES = ("-", "--", ":", "-.")
WIDEST, THINNEST = 3.8, 2.0  # points


@dataclass(frozen=True, eq=False)
class Curve:
    """A number over the steps: (N,) each."""

    steps: NDArray[np.float64]
    values: NDArray[np.float64]

    def smoothed(self) -> NDArray[np.float64]:
        """The mean of every value with its neighbours, as far as there are any (N,)."""
        reach = len(self.values) // SMOOTHED // 2
        window = np.ones(2 * reach + 1)
        finite = np.isfinite(self.values)
        sums = np.convolve(np.where(finite, self.values, 0), window, "same")
        counts = np.convolve(finite.astype(np.float64), window, "same")
        return np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)


@dataclass(frozen=True)
class Run:
    """What is drawn of a run.

    measured: how its PCK is computed. before: PCK before anything was learnt, in percent. Both are
    None where the run's record is not there.
    """

    name: str
    curves: dict[str, Curve]
    measured: str | None
    before: float | None

    @property
    def best(self) -> tuple[int, float] | None:
        """The step with the highest `pck`, the first of them, and its value in percent."""
        curve = self.curves.get("pck")
        if curve is None or not np.isfinite(curve.values).any():
            return None
        place = int(np.nanargmax(curve.values))
        return int(curve.steps[place]), float(curve.values[place])


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """The runs in these folders, named so that they can be told apart.

    Raises InputError where a folder holds no run, GeoAwareError where nothing is written yet.
    """
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        names = [str(folder) for folder in folders]
    return [
        Run(name, _curves(folder), *_recorded(folder))
        for name, folder in zip(names, folders, strict=True)
    ]


def draw(runs: Sequence[Run], out: Path) -> None:
    """Draw the curves into a picture; what kind, its suffix says.

    Raises InputError where the suffix is of no known kind or the file cannot be written.
    """
    import matplotlib as mpl

    kind = out.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise InputError(f"{out}: name a file that ends in .{', .'.join(FORMATS)}")
    check_writable(out)
    content = io.BytesIO()
    style = {
        "svg.fonttype": "none",
        "svg.hashsalt": "geoaware",
        "text.parse_math": False,
        "font.size": 9,
        "axes.titlesize": 9,
    }
    with mpl.rc_context(style):
        dated = {} if kind == "png" else {"Date" if kind == "svg" else "CreationDate": None}
        _figure(runs).savefig(content, format=kind, dpi=150, metadata=dated)
    with replacing(out) as file:
        file.write(content.getvalue())


def _curves(folder: Path) -> dict[str, Curve]:
    rows = read_metrics(folder)
    if not rows:
        raise GeoAwareError(f"{folder}: nothing is written down yet; wait for the first steps")
    names = dict.fromkeys(name for row in rows for name in row)
    return {
        name: Curve(*np.array([(row["step"], row[name]) for row in rows if name in row], float).T)
        for name in names
        if name not in ("step", "time")
    }


def _recorded(folder: Path) -> tuple[str | None, float | None]:
    """How a run's PCK is computed, and what it was before."""
    if not (folder / run_record.NAME).exists():
        return None, None
    record = run_record.read(folder)
    return run_record.measured(record), record["before"]["pck"]


def _figure(runs: Sequence[Run]) -> Figure:
    from matplotlib.figure import Figure

    names = dict.fromkeys(name for run in runs for name in run.curves)
    others = [name for name in names if not _is_pck(name)]
    has_pck = len(others) < len(names)
    columns = min(COLUMNS, max(1, len(others)))
    heights = [*([3.4] if has_pck else []), *[2.0] * math.ceil(len(others) / columns)]
    figure = Figure(figsize=(9.5, sum(heights) + 0.6), layout="constrained")
    title = runs[0].name if len(runs) == 1 else f"{len(runs)} runs"
    figure.suptitle(title, x=0.01, ha="left", weight="bold")
    figure.supxlabel("step", fontsize="medium")
    grid = figure.add_gridspec(len(heights), columns, height_ratios=heights)
    if has_pck:
        _draw_pck(_styled(figure.add_subplot(grid[0, :])), runs)
    for number, name in enumerate(others):
        row, column = divmod(number, columns)
        axes = _styled(figure.add_subplot(grid[row + has_pck, column]))
        _draw_small(axes, name, runs)
    if len(runs) > 1 and not has_pck:
        figure.axes[0].legend(loc="best", frameon=False)
    return figure


def _draw_pck(axes: Axes, runs: Sequence[Run]) -> None:
    """Validations; of a single run all its kinds, of several the one that decides."""
    for run, style in _with_styles(runs):
        if curve := run.curves.get("pck"):
            best = f", best {run.best[1]:.1f} at step {run.best[0]:,}" if run.best else ""
            label = ("pck" if len(runs) == 1 else _label(run)) + best
            axes.plot(curve.steps, curve.values, "o", markersize=3, label=label, **style)
        if run.best:
            size = 6 + 2 * style["linewidth"]
            axes.plot(*run.best, "o", color=style["color"], markersize=size, mfc="none", mew=2)
    kinds = [name for name in runs[0].curves if _is_pck(name) and name != "pck"]
    for number, name in enumerate(kinds if len(runs) == 1 else ()):
        curve, dashes = runs[0].curves[name], DASHES[1 + number % (len(DASHES) - 1)]
        colour = COLOURS[1 + number % (len(COLOURS) - 1)]
        axes.plot(curve.steps, curve.values, dashes, color=colour, lw=1, label=_spaced(name))
    for before in {run.before: None for run in runs if run.before is not None}:
        axes.axhline(before, linestyle="--", color="#666666", lw=1, label=f"before: {before:.1f}")
    measured = {run.measured for run in runs}
    kind = measured.pop() if len(measured) == 1 else None
    axes.set_title(f"{kind or 'PCK'} of the validations, %", loc="left")
    axes.legend(loc="best", frameon=False)


def _draw_small(axes: Axes, name: str, runs: Sequence[Run]) -> None:
    """A number over the steps, smoothed; of a single run as it is, too, but faint."""
    for run, style in _with_styles(runs):
        if curve := run.curves.get(name):
            if len(runs) == 1:
                axes.plot(curve.steps, curve.values, color=style["color"], lw=0.7, alpha=0.3)
            axes.plot(curve.steps, curve.smoothed(), label=_label(run), **style)
    axes.set_title(_spaced(name), loc="left")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _is_pck(name: str) -> bool:
    return name.startswith("pck")


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _label(run: Run) -> str:
    """A run's name in a legend, which would leave out one that begins with an underscore."""
    return f" {run.name}" if run.name.startswith("_") else run.name


def _with_styles(runs: Sequence[Run]) -> Iterator[tuple[Run, Mapping[str, Any]]]:
    """The runs, each with the look of its lines."""
    for number, run in enumerate(runs):
        colour, dashes = COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)]
        width = min(WIDEST, THINNEST + 0.6 * (len(runs) - 1 - number))
        yield run, {"color": colour, "linestyle": dashes, "linewidth": width}


def _styled(axes: Axes) -> Axes:
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_formatter(lambda step, _: f"{step:,.0f}")
    axes.locator_params(axis="x", integer=True, nbins=5)
    return axes
