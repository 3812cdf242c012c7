"""How a long run shows itself: bars, notes and problems, all on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import click
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from ..datasets import Problem
from .console import progress

MOST_SHOWN = 50


class Bars:
    """A bar for every stage, gone when the stage is."""

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        """Show a bar while the stage lasts."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Speed(unit),
            TimeRemainingColumn(),
        )
        console = progress()
        hidden = not console.is_terminal
        with Progress(*columns, console=console, transient=True, disable=hidden) as bars:
            task = bars.add_task(name, total=total)
            yield lambda count: bars.advance(task, count)

    def note(self, line: str) -> None:
        """Print a line."""
        click.echo(line, err=True)

    def problems(self, found: Sequence[Problem]) -> None:
        """Print the problems together, each with its file."""
        click.echo(f"{len(found)} problems:", err=True)
        for problem in found[:MOST_SHOWN]:
            click.echo(f"  {problem.where}: {problem.what}", err=True)
        if len(found) > MOST_SHOWN:
            click.echo(f"  and {len(found) - MOST_SHOWN} more", err=True)


class _Speed(ProgressColumn):
    """How many are done in a second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f} {self._unit}/s" if task.speed else "")
