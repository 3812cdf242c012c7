"""Steps shown on stderr while they run, and the packages they need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from ...runtime.errors import GeoAwareError

NEEDED = ("torch", "onnx", "onnxscript", "yaml", "filelock", "safetensors", "huggingface_hub")


def require_extra() -> None:
    """Raise GeoAwareError where packages of the `export` extra are missing."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise GeoAwareError(
            f'building needs {", ".join(missing)}: pip install "geoaware[export,embedded]"'
        )


@contextmanager
def reporting() -> Iterator[Callable[[str], None]]:
    """Yield a function that shows the step now running, with the time it has taken."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        running = []

        def report(step: str) -> None:
            for task in running:
                progress.update(task, total=1, completed=1)
            running[:] = [progress.add_task(step, total=None)]

        yield report
        for task in running:
            progress.update(task, total=1, completed=1)
