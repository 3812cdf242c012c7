"""Results of evaluations, and comparisons of them, as tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .console import print_line, print_numbers

if TYPE_CHECKING:
    from ..evaluation.comparison import Comparison
    from ..evaluation.report.document import Table
    from ..evaluation.results import ProtocolResult, Results

OVERALL = ("alpha", "per image", "95 % interval", "median", "per keypoint", "category mean")


def print_results(results: Results) -> None:
    """Print PCK in percent by every protocol, and by category by the first, on stdout."""
    from ..evaluation.report import tables

    dataset = results.dataset.label
    skipped = f", {results.dataset.skipped:,} skipped" if results.dataset.skipped else ""
    made = f"{results.bundle_names}, {results.method.label}"
    print_line(f"{dataset}: {made}; {results.dataset.pairs:,} pairs{skipped}")
    for result in results.protocols.values():
        title = f"{dataset}, protocol {result.name}: {result.formula}"
        _print_table(title, tables.overall(result).only(OVERALL))
        _print_subsets(result)
    first = next(iter(results.protocols.values()))
    if len(first.categories) == 1:
        return
    categories = tables.categories(first)
    columns = [name for name in categories.columns if not name.startswith("per keypoint")]
    title = f"{dataset}, protocol {first.name}, per image by category"
    _print_table(title, categories.only(columns))


def print_comparison(comparison: Comparison) -> None:
    """Print how runs stand on their common pairs, and by category, on stdout."""
    from ..evaluation.report import comparison_document, tables
    from ..evaluation.results import key

    _print_table(
        f"{comparison.dataset}, protocol {comparison.protocol}: {comparison.formula}; "
        f"{comparison.overall.pairs:,} common pairs",
        comparison_document.overall(comparison),
    )
    for note in comparison_document.notes(comparison):
        print_line(note)
    alpha = key(tables.middle(comparison.alphas))
    categories = comparison_document.categories(comparison, alpha)
    _print_table(f"{comparison.dataset}: {categories.title}", categories)


def _print_subsets(result: ProtocolResult) -> None:
    from ..evaluation.report import tables

    named = {"geometry-aware subset": result.geometry_aware, "mutual neighbours": result.mutual}
    for name, part in named.items():
        if part:
            pck = (f"{value:.1f} @{alpha}" for alpha, value in part.scores.per_image.items())
            print_line(f"{name}, {tables.coverage(part)}: {', '.join(pck)} per image")


def _print_table(title: str, table: Table) -> None:
    print_numbers(title, table.columns, table.rows, table.words)
