"""Steps shown on stderr while they run, and the packages they need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ...runtime.cli.console import progress as progress_console


def require_extra() -> None:
    """Raise GeoAwareError where packages of the `export` extra are missing."""
    from ...runtime.doctor import require

    require("export", "building", "export,embedded")


@contextmanager
def reporting() -> Iterator[Callable[[str], None]]:
    """Yield a function that shows the step now running, with the time it has taken."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=progress_console()) as progress:
        running = []

        def report(step: str) -> None:
            for task in running:
                progress.update(task, total=1, completed=1)
            running[:] = [progress.add_task(step, total=None)]

        yield report
        for task in running:
            progress.update(task, total=1, completed=1)
