"""Who is told how a run goes on, and remembers it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from geoaware.runtime.datasets import Problem


class Remembered:
    """A Watch whose stages, notes and problems can be asked for."""

    def __init__(self) -> None:
        self.stages: dict[str, tuple[int, int]] = {}  # how many are done, of how many
        self.notes: list[str] = []
        self.told: list[Problem] = []

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        self.stages[name] = 0, total

        def advance(count: int) -> None:
            self.stages[name] = self.stages[name][0] + count, total

        yield advance

    def note(self, line: str) -> None:
        self.notes.append(line)

    def problems(self, found: Sequence[Problem]) -> None:
        self.told += found
