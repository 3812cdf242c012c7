"""Matches: points of one image and where they were found in another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .geometry import Points


@dataclass(frozen=True)
class Matches:
    """K matched points, in original-image pixels (see `geometry`).

    source: (K, 2) float64, the asked points (x, y).
    target: (K, 2) float64, where they were found.
    similarity: (K,) float32, cosine of the source cell and the most similar target cell.
    mutual: (K,) bool, whether the source cell is in turn the most similar to that target cell.
    mirrored: whether pose alignment took the mirror image of the source.
    """

    source: Points
    target: Points
    similarity: NDArray[np.float32]
    mutual: NDArray[np.bool_]
    mirrored: bool = False

    def __len__(self) -> int:
        return len(self.source)

    def rows(self) -> Iterator[tuple[Points, Points, np.float32, np.bool_]]:
        """Source (2,), target (2,), similarity and mutual of each match, in order."""
        return zip(self.source, self.target, self.similarity, self.mutual, strict=True)

    def where(self, keep: NDArray[np.bool_]) -> Matches:
        """The matches for which `keep` (K,) is true, in order."""
        return Matches(
            self.source[keep],
            self.target[keep],
            self.similarity[keep],
            self.mutual[keep],
            self.mirrored,
        )
