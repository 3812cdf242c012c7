"""Which of a dataset's pairs are evaluated."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..datasets import AnnotatedImage, Pair
from ..errors import InputError
from ..store import Key


@dataclass(frozen=True)
class Selection:
    """Pairs of some categories; of those the first `limit`, or a random `sample`.

    A sample of the same size and seed is the same on every machine.
    """

    categories: tuple[str, ...] = ()
    limit: int | None = None
    sample: int | None = None
    seed: int = 0

    def of(self, pairs: Sequence[Pair]) -> list[Pair]:
        """The selected pairs, in order. Raises InputError for a category that has none."""
        known = {pair.category for pair in pairs}
        for category in self.categories:
            if category not in known:
                raise InputError(
                    f"no pair of category {category!r}; there are {', '.join(sorted(known))}"
                )
        chosen = [pair for pair in pairs if not self.categories or pair.category in self.categories]
        if self.sample is not None:
            drawn = {pair.name for pair in sorted(chosen, key=self._lot)[: self.sample]}
            chosen = [pair for pair in chosen if pair.name in drawn]
        return chosen[: self.limit]

    def _lot(self, pair: Pair) -> bytes:
        """A random number of the pair's own, so that no library's generator decides a sample."""
        return hashlib.sha256(f"{self.seed}/{pair.name}".encode()).digest()

    def as_json(self) -> dict[str, Any]:
        """What was asked for, without what was not."""
        facts = {"categories": list(self.categories), "limit": self.limit, "sample": self.sample}
        asked = {name: value for name, value in facts.items() if value}
        return asked | ({"seed": self.seed} if self.sample else {})


def fingerprint(pairs: Sequence[Pair], keys: Mapping[Path, Key]) -> str:
    """16 hex digits that change with the pairs, their annotations, or their images' content."""
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update(repr((pair.name, pair.category, pair.ids)).encode())
        for side in (pair.source, pair.target):
            digest.update(repr((keys[side.path].digest, _annotation(side))).encode())
    return digest.hexdigest()[:16]


def _annotation(side: AnnotatedImage) -> tuple[object, ...]:
    return side.size, side.points.tolist(), side.box
