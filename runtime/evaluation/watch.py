"""How a long run tells of itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from ..datasets import Problem


class Watch(Protocol):
    """Who is told how a run goes on."""

    def stage(
        self, name: str, total: int, unit: str
    ) -> AbstractContextManager[Callable[[int], None]]:
        """A stage begins; inside it, the function is told how many more of the total are done.

        unit: what is counted, such as `images`.
        """

    def note(self, line: str) -> None:
        """Something worth knowing."""

    def problems(self, found: Sequence[Problem]) -> None:
        """What is wrong with the dataset's files, together."""
