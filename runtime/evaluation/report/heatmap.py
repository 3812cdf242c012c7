"""The grid of a search as a picture: windows down, temperatures across."""

from __future__ import annotations

from typing import IO

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..results import key
from ..tuning import Tuned


def heatmap(tuned: Tuned, file: IO[bytes]) -> None:
    """Write a PNG with a panel for every alpha; the best setting is framed."""
    count, rows, columns = tuned.grid.shape
    figure = Figure(figsize=(1.2 + count * (1.2 + 0.75 * columns), 1.9 + 0.5 * rows), dpi=120)
    FigureCanvasAgg(figure)
    for number, alpha in enumerate(tuned.alphas):
        axes = figure.add_subplot(1, count, number + 1)
        values = tuned.grid[number]
        middle = (values.min() + values.max()) / 2
        axes.imshow(values, cmap="cividis", aspect="auto")
        best = int(values.argmax())
        for row in range(rows):
            for column in range(columns):
                value = values[row, column]
                axes.text(
                    column,
                    row,
                    f"{value:.1f}",
                    ha="center",
                    va="center",
                    color="white" if value < middle else "black",
                    weight="bold" if row * columns + column == best else "normal",
                )
        axes.add_patch(_frame(best % columns, best // columns))
        axes.set_xticks(range(columns), [f"{value:g}" for value in tuned.search.temperatures])
        axes.set_yticks(range(rows), [str(value) for value in tuned.search.windows])
        axes.set_xlabel("temperature")
        axes.set_ylabel(f"window ({tuned.search.variant})")
        axes.set_title(f"PCK@{key(alpha)}, argmax {tuned.argmax[number]:.1f}")
    figure.suptitle(f"{tuned.protocol.name}: {tuned.protocol.formula}; {tuned.pairs} pairs")
    figure.tight_layout()
    figure.savefig(file, format="png")


def _frame(column: int, row: int) -> Rectangle:
    return Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="white", linewidth=2.5)
