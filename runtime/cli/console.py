"""Where tables and progress go; a user's text is shown as it is, never read as markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import Console


def output() -> Console:
    """Results, on stdout."""
    from rich.console import Console

    return Console(markup=False, emoji=False, highlight=False)


def progress() -> Console:
    """Everything else, on stderr."""
    from rich.console import Console

    return Console(stderr=True, markup=False, emoji=False, highlight=False)


def print_facts(title: str, facts: Iterable[tuple[str, str]]) -> None:
    """Print a table of names and values on stdout."""
    from rich.table import Table

    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(style="bold", overflow="fold")
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, value)
    output().print(table)


def print_rows(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    justify: Literal["left", "right"] = "left",
) -> None:
    """Print a table with a header on stdout."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify=justify, overflow="fold", no_wrap=justify == "right")
    for row in rows:
        table.add_row(*row)
    output().print(table)
