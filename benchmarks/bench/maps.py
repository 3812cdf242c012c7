"""Feature maps to match: every cell of one has one clear match in the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geoaware.kernels import unit

from .caches import beyond_caches

MOST_PAIRS = 256  # of small maps, or of a processor with very large caches

Float32 = NDArray[np.float32]
Pair = tuple[Float32, Float32]


def map_pairs(side: int, channels: int) -> list[Pair]:
    """Pairs of maps (side, side, channels) of unit descriptors.

    So many that caches do not hold the targets, but MOST_PAIRS at most.

    A target's descriptors are its source's, shuffled and disturbed: the cosine of a cell with its
    own match is far above that with any other, so rounding decides no match.
    """
    random = np.random.default_rng(0)
    cells, shape = side**2, (side, side, channels)
    rows = unit(random.standard_normal((cells, channels), np.float32))
    noise = unit(random.standard_normal((cells, channels), np.float32))
    disturbed = unit(rows + np.float32(0.5) * noise)[random.permutation(cells)]
    return [  # other places of the same descriptors
        (
            np.roll(rows, 7 * number, axis=0).reshape(shape),
            np.roll(disturbed, 11 * number, axis=0).reshape(shape),
        )
        for number in range(min(MOST_PAIRS, beyond_caches(rows.nbytes)))
    ]


def asked_cells(side: int, points: int | None) -> NDArray[np.intp]:
    """The cells (x, y) that are asked for: (points, 2), in no order; None for all in theirs."""
    numbers = np.arange(side**2)
    if points is not None:
        numbers = np.random.default_rng(1).choice(numbers, points, replace=False)
    return np.stack([numbers % side, numbers // side], axis=1)
