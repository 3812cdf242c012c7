"""The report of a comparison of runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..comparison import Comparison, Difference, Group
from ..results import key
from . import markdown, write_text
from .document import Document, Figure, Section, Table
from .tables import middle

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def document(comparison: Comparison) -> Document:
    """The runs, how they stand on all pairs, and by category; with a plot of each."""
    alpha = key(middle(comparison.alphas))
    return Document(
        f"{comparison.dataset}: {' against '.join(run.name for run in comparison.runs)}",
        (
            f"PCK per image in percent, protocol {comparison.protocol} ({comparison.formula}), "
            f"on the {comparison.overall.pairs:,} pairs that all runs have. Differences are to "
            f"{comparison.runs[0].name}, in points, each pair with itself; intervals are 95 % "
            "bootstrap intervals over pairs.",
            *notes(comparison),
        ),
        (
            Section("Runs", tables=(runs(comparison),)),
            Section(
                "All pairs",
                tables=(overall(comparison),),
                figures=(_intervals(comparison),),
            ),
            Section(
                "By category",
                tables=tuple(categories(comparison, key(each)) for each in comparison.alphas),
                figures=(_bars(comparison, alpha),),
            ),
        ),
    )


def write(comparison: Comparison, folder: Path) -> None:
    """Write comparison.md and comparison.html to a folder that is there.

    Raises GeoAwareError where they cannot be written.
    """
    from . import html

    report = document(comparison)
    texts = {"comparison.md": markdown.render(report), "comparison.html": html.render(report)}
    for name, text in texts.items():
        write_text(folder / name, text)


def notes(comparison: Comparison) -> Iterator[str]:
    """What a reader must know of the runs before believing the differences."""
    for run in comparison.runs:
        if run.left_out:
            yield f"{run.left_out:,} pairs of {run.name} are not in all runs and are left out."
    if len({run.fingerprint for run in comparison.runs}) > 1:
        yield "The runs' fingerprints differ: they saw other pairs, annotations or images."


def runs(comparison: Comparison) -> Table:
    """What the runs are."""
    rows = tuple(
        (run.name, run.bundles, run.method, run.fingerprint, f"{run.left_out:,}")
        for run in comparison.runs
    )
    columns = ("run", "bundles", "method", "fingerprint", "pairs left out")
    return Table("What was run", columns, rows, words=4)


def overall(comparison: Comparison) -> Table:
    """How the runs stand on all common pairs."""
    columns = (
        "alpha",
        "run",
        "per image",
        "difference",
        "95 % interval",
        "resamples better",
        "verdict",
    )
    rows = tuple(
        (alpha, each.run, f"{each.mean:.1f}", *_cells(each.difference))
        for alpha, standings in comparison.overall.standings.items()
        for each in standings
    )
    return Table(_title("All pairs", comparison), columns, rows, words=2)


def categories(comparison: Comparison, alpha: str) -> Table:
    """How the runs stand in every category, at one alpha."""
    first, *others = (run.name for run in comparison.runs)
    columns = (
        "category",
        "pairs",
        first,
        *(text for name in others for text in (name, "difference", "95 % interval")),
    )
    rows = tuple(
        (category, f"{group.pairs:,}", *_category_cells(group, alpha))
        for category, group in comparison.categories.items()
    )
    return Table(_title(f"By category at alpha {alpha}", comparison), columns, rows)


def _cells(difference: Difference | None) -> tuple[str, ...]:
    if difference is None:
        return ("", "", "", "baseline")
    return (
        f"{difference.mean:+.1f}",
        _interval(difference),
        f"{difference.better:.0f} %",
        difference.verdict,
    )


def _category_cells(group: Group, alpha: str) -> Iterator[str]:
    for standing in group.standings[alpha]:
        yield f"{standing.mean:.1f}"
        if standing.difference:
            yield f"{standing.difference.mean:+.1f}"
            yield _interval(standing.difference)


def _interval(difference: Difference) -> str:
    return f"{difference.low:+.1f} to {difference.high:+.1f}"


def _title(what: str, comparison: Comparison) -> str:
    return f"{what} (protocol {comparison.protocol})"


def _intervals(comparison: Comparison) -> Figure:
    """The differences to the first run with their intervals, at every alpha."""
    from . import plots

    standings = comparison.overall.standings
    rows = [
        (f"@{alpha}  {each.run}", number, each.difference)
        for alpha, runs in standings.items()
        for number, each in enumerate(runs)
        if each.difference
    ]

    def draw(axes: Axes, colours: Sequence[str], ink: str) -> None:
        axes.axvline(0, color=ink, linewidth=1)
        for row, (_, number, difference) in enumerate(rows):
            colour = colours[number % len(colours)]
            axes.plot([difference.low, difference.high], [row, row], color=colour, linewidth=3)
            axes.plot(difference.mean, row, "o", color=colour, markersize=8)
        axes.set(xlabel=f"PCK per image less that of {comparison.runs[0].name}, points")
        plots.name_rows(axes, [name for name, *_ in rows])

    caption = f"Difference to {comparison.runs[0].name} with 95 % intervals, by alpha."
    return plots.drawn(caption, draw, plots.rows_height(len(rows)))


def _bars(comparison: Comparison, alpha: str) -> Figure:
    """PCK of every run in every category, at one alpha."""
    from . import plots

    groups = comparison.categories
    names = [run.name for run in comparison.runs]
    thickness = 0.8 / len(names)

    def draw(axes: Axes, colours: Sequence[str], ink: str) -> None:
        for number, name in enumerate(names):
            means = [group.standings[alpha][number].mean for group in groups.values()]
            places = [row - 0.4 + (number + 0.5) * thickness for row in range(len(groups))]
            colour = colours[number % len(colours)]
            # A label that began with an underscore would be left out of the legend.
            axes.barh(places, means, thickness, color=colour, label=f" {name}")
        axes.set(xlabel=f"PCK@{alpha} per image, %", xlim=(0, 100))
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), frameon=False, labelcolor=ink)
        plots.name_rows(axes, list(groups))

    caption = f"PCK@{alpha} per image by category, protocol {comparison.protocol}."
    rows = len(groups) * max(1, len(names) / 2) + len(names)
    return plots.drawn(caption, draw, plots.rows_height(round(rows)))
