"""How sure a mean over pairs is: bootstrap intervals, of one run and of a difference of two.

Pairs are resampled as if they were independent. They share images, so an interval is a little
narrower than a new set of images would have it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
LEVEL = 95

_SEED = 0


def bootstrap_means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means (RESAMPLES, A) of resampled rows (N, A); the same resamples on every call."""
    generator = np.random.default_rng(_SEED)
    count = len(values)
    draws = (generator.integers(0, count, count) for _ in range(RESAMPLES))
    return np.array([np.bincount(drawn, minlength=count) @ values for drawn in draws]) / count


def interval(means: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The ends of the central 95 % of resampled means (RESAMPLES, A): two arrays (A,)."""
    tail = (100 - LEVEL) / 2
    low, high = np.percentile(means, [tail, 100 - tail], axis=0)
    return low, high
