"""PCK per image: the share of a pair's keypoints found, then the mean over pairs."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from .pairs import Pair

ALPHAS = (0.05, 0.10, 0.20)


def found(pair: Pair, predicted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the pair's keypoints with distance <= alpha * reference, for each of ALPHAS."""
    distance = np.linalg.norm(predicted - pair.target_points, axis=1)
    return (distance[:, None] <= pair.reference * np.array(ALPHAS)).mean(axis=0)


def per_image(shares: Iterable[NDArray[np.float64]]) -> dict[str, float]:
    """Mean over pairs, in percent, by alpha."""
    mean = np.mean(list(shares), axis=0) * 100
    return {
        f"{alpha:.2f}": round(float(value), 2) for alpha, value in zip(ALPHAS, mean, strict=True)
    }
