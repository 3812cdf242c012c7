"""Where tables and progress go; a user's text is shown as it is, never read as markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

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


def print_rows(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table of words with a header on stdout; long ones are folded."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    output().print(table)


def print_numbers(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], words: int = 0
) -> None:
    """Print a table of numbers on stdout; one that is wider than the terminal is not cut.

    words: how many of the first columns hold words.
    """
    from rich.measure import Measurement
    from rich.table import Table

    table = Table()
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < words else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = output()
    unlimited = console.options.update(max_width=10_000)
    print_line(title)
    console.width = max(console.width, Measurement.get(console, unlimited, table).maximum)
    console.print(table)


def print_line(text: str) -> None:
    """Print a line on stdout, however long."""
    output().print(text, soft_wrap=True)
