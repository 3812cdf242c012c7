"""How one pair fares by a protocol: which keypoints are correct, how far off they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..outcome import Outcome
from ..protocols import PROTOCOLS


def reference(protocol: str, outcome: Outcome) -> float:
    """The protocol's reference length for a pair, in pixels of its target image."""
    return PROTOCOLS[protocol].reference_length(outcome.pair)


def correct(protocol: str, outcome: Outcome, alphas: Sequence[float]) -> NDArray[np.bool_]:
    """Which of a pair's K keypoints are correct, at each of A alphas: (K, A)."""
    return PROTOCOLS[protocol].correct(outcome.pair, outcome.distances, alphas)


def relative_errors(protocol: str, outcome: Outcome) -> NDArray[np.float64]:
    """Distances in units of the reference length (K,); not finite where that is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        errors: NDArray[np.float64] = outcome.distances / reference(protocol, outcome)
    return errors
