"""What came of one pair: where its keypoints were found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..datasets import Pair
from ..geometry import Points


@dataclass(frozen=True, eq=False)
class Outcome:
    """Predictions for the K keypoints of a pair that are visible in both of its images.

    predicted: (K, 2) float64, in the target image's pixels.
    similarity: (K,) float32, cosine at the most similar cell.
    nearest: (K,) bool, whether the match is a mutual nearest neighbour; None where not asked.
    mirrored: whether the mirrored source was chosen by pose alignment.
    """

    pair: Pair
    predicted: Points
    similarity: NDArray[np.float32]
    nearest: NDArray[np.bool_] | None = None
    mirrored: bool = False

    @property
    def truth(self) -> Points:
        """Where the keypoints are: (K, 2), in the target image's pixels."""
        return self.pair.target.points[self.pair.mutual]

    @property
    def distances(self) -> NDArray[np.float64]:
        """Distance of every prediction from the truth, in the target image's pixels: (K,)."""
        difference = self.predicted - self.truth
        return np.hypot(difference[:, 0], difference[:, 1])
