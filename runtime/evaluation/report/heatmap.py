"""The grid of a search as a picture: windows down, temperatures across."""

from __future__ import annotations

from typing import IO

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..results import key
from ..tuning import Tuned

NARROWEST = 8.5  # inches: the title fits


def heatmap(tuned: Tuned, file: IO[bytes]) -> None:
    """Write a PNG with a panel for every alpha; the best setting is framed."""
    count, rows, columns = tuned.grid.shape
    width = max(NARROWEST, 1.2 + count * (1.2 + 0.75 * columns))
    figure = Figure(figsize=(width, 1.9 + 0.5 * rows), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    for number in range(count):
        _panel(figure.add_subplot(1, count, number + 1), tuned, number)
    figure.suptitle(f"{tuned.protocol.name}: {tuned.protocol.formula}; {tuned.pairs} pairs")
    figure.savefig(file, format="png")


def _panel(axes: Axes, tuned: Tuned, number: int) -> None:
    values, argmax = tuned.grid[number], tuned.argmax[number]
    middle = (values.min() + values.max()) / 2
    axes.imshow(values, cmap="cividis", aspect="auto")
    best = None if argmax >= values.max() else divmod(int(values.argmax()), values.shape[1])
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            axes.text(
                column,
                row,
                f"{value:.1f}",
                ha="center",
                va="center",
                color="white" if value <= middle else "black",
                weight="bold" if (row, column) == best else "normal",
            )
    if best:
        corner = best[1] - 0.5, best[0] - 0.5
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor="white", linewidth=2.5))
    axes.set_xticks(range(values.shape[1]), [f"{each:g}" for each in tuned.search.temperatures])
    axes.set_yticks(range(values.shape[0]), [str(each) for each in tuned.search.windows])
    axes.set(xlabel="temperature", ylabel=f"window ({tuned.search.variant})")
    better = "" if best else ", better than any window"
    axes.set_title(f"PCK@{key(tuned.alphas[number])}, argmax {argmax:.1f}{better}")
