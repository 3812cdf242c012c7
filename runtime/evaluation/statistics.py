"""How sure a mean over pairs is: bootstrap intervals, of one run and of a difference of two.

Pairs are resampled as if they were independent. They share images, so an interval is a little
narrower than a new set of images would have it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
LEVEL = 95

_SEED = 0
_BLOCK = 4_000_000  # draws at a time, to bound memory


def bootstrap_means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means (RESAMPLES, A) of resampled rows (N, A); the same resamples on every call."""
    means = [draws @ values / len(values) for draws in _draws(len(values))]
    return np.concatenate(means)


def interval(means: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The ends of the central 95 % of resampled means (RESAMPLES, A): two arrays (A,)."""
    tail = (100 - LEVEL) / 2
    low, high = np.percentile(means, [tail, 100 - tail], axis=0)
    return low, high


def _draws(count: int) -> Iterator[NDArray[np.float64]]:
    """How often each of `count` rows is drawn, some resamples at a time: (resamples, count)."""
    generator = np.random.default_rng(_SEED)
    step = max(1, _BLOCK // count)
    for start in range(0, RESAMPLES, step):
        resamples = min(step, RESAMPLES - start)
        yield generator.multinomial(count, np.full(count, 1 / count), resamples).astype(np.float64)
