"""Runs of the benchmarks, and comparisons of two, as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .console import print_line, print_numbers

if TYPE_CHECKING:
    from ...bench.compare import Change, Comparison, Side
    from ...bench.rows import Row, Run, Spread

MOST_LISTED = 10


def print_run(run: Run) -> None:
    """Print a table for each suite on stdout: every contender's figure, and its ratio to ours."""
    from ...bench.report.labels import figure, label
    from ...bench.report.latest import Case, Latest
    from ...bench.rows import OURS

    def line(case: Case, row: Row) -> tuple[str, ...]:
        what = label(case.suite, case.keys)
        if row.spread is None:
            return what, row.contender, "–", "", "", ""
        ratio = case.ratio(row.contender) if row.contender != OURS else None
        between = _between(row.spread) if row.spread.count > 1 else ""
        return what, row.contender, figure(row.spread.median), row.unit, between, str(ratio or "")

    latest = Latest({row.suite: run for row in run.rows})
    columns = ("case", "contender", "median", "unit", "p10 … p90", "ratio")
    for suite in latest.runs:
        cases = latest.cases(suite)
        print_numbers(suite, columns, [line(case, row) for case in cases for row in case.rows], 2)
    print_line("ratio: the other's time or memory over ours, of rates ours over the other's")
    for reason in dict.fromkeys(
        f"{row.contender}: {row.missing}" for row in run.rows if row.missing
    ):
        print_line(f"– {reason}")


def print_comparison(comparison: Comparison) -> None:
    """Print what changed from one run to another on stdout: ours, then the rivals'."""
    from ...bench.rows import OURS

    for name, side in (("old", comparison.old), ("new", comparison.new)):
        print_line(f"{name}: {side.date}, {side.commit}: {side.command}")
    ours = [each for each in comparison.changes if each.contender == OURS]
    rivals = [each for each in comparison.changes if each.contender != OURS]
    _print_changes("ours", ours)
    _print_changes("others", [each for each in rivals if each.verdict in ("worse", "better")])
    for name, side in (("old", comparison.old), ("new", comparison.new)):
        _print_only_here(name, side)
    if comparison.drift is not None:
        print_line(f"drift: what is not ours takes {comparison.drift:.2f} times as much (median)")
    print_line(f"{len(comparison.worse)} of {len(ours)} of our figures got worse beyond the noise")
    if few := sum(each.verdict == "too few" for each in ours):
        print_line(f"{few} of them are of too few measurements to tell")
    if comparison.lost:
        print_line(f"{len(comparison.lost)} of our figures were not measured any more")


def _print_changes(title: str, changes: Sequence[Change]) -> None:
    from ...bench.report.labels import figure, label

    columns = ("case", "contender", "old", "p10 … p90", "new", "p10 … p90", "unit", "factor", "")
    rows = [
        (
            f"{each.suite}: {label(each.suite, each.case)}",
            each.contender,
            figure(each.old.median),
            _between(each.old),
            figure(each.new.median),
            _between(each.new),
            each.unit,
            f"{each.factor:.2f}",
            each.verdict,
        )
        for each in changes
    ]
    if rows:
        print_numbers(f"{title}; a factor above 1 is worse", columns, rows, 2)


def _print_only_here(name: str, side: Side) -> None:
    from ...bench.report.labels import label

    for row in side.only_here[:MOST_LISTED]:
        print_line(f"only in {name}: {row.suite}: {label(row.suite, row.case)}, {row.contender}")
    if len(side.only_here) > MOST_LISTED:
        print_line(f"only in {name}: {len(side.only_here) - MOST_LISTED} more")


def _between(spread: Spread) -> str:
    from ...bench.report.labels import figure

    return f"{figure(spread.p10)} … {figure(spread.p90)}"
