"""PCK with intervals on the sets that trained heads are measured on, and differences of two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoaware.runtime.datasets import Pair, read
from geoaware.runtime.evaluation.outcome import Outcome
from geoaware.runtime.evaluation.protocols import PROTOCOLS
from geoaware.runtime.evaluation.results import key
from geoaware.runtime.evaluation.selection import Selection
from geoaware.runtime.evaluation.statistics import bootstrap_means, interval
from geoaware.runtime.evaluation.subset import geometry_aware
from geoaware.train.validation import sample

from .pairs import pf_willow, spair_mini

Shares = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class MeasuredSet:
    """Pairs of images that no head has learnt from.

    dataset: whose table of look-alikes counts. protocol: how PCK is computed.
    """

    title: str
    dataset: str
    protocol: str
    pairs: Sequence[Pair]


def unseen_sets(folder: Path) -> list[MeasuredSet]:
    """The 100 pairs of SPair-71k-mini, and all of PF-Willow."""
    return [
        MeasuredSet("SPair-71k-mini", "spair", "box", spair_mini(folder)),
        MeasuredSet("PF-Willow", "pf-willow", "image", pf_willow(folder)),
    ]


def held_out(folder: Path, categories: tuple[str, ...] = ()) -> MeasuredSet:
    """200 pairs of each category of the AnimalPose photographs that settings are chosen on."""
    pairs = read("animal-pose", folder / "AnimalPose-train", "val").pairs
    return MeasuredSet(
        "held out", "animal-pose", "box", sample(Selection(categories).of(pairs), 200)
    )


def shares(measured: MeasuredSet, outcomes: Sequence[Outcome]) -> Shares:
    """Each pair's share of correct keypoints in percent (N, A), by name of the keypoints.

    `all`, and where there is a table of look-alikes `geometry-aware`.
    """
    protocol = PROTOCOLS[measured.protocol]
    found: dict[str, list[NDArray[np.float64]]] = {"all": []}
    for each in outcomes:
        correct = 100.0 * protocol.correct(each.pair, each.distances, protocol.alphas)
        found["all"].append(correct.mean(axis=0))
        subset = geometry_aware(measured.dataset, each.pair)
        if subset is not None and subset.any():
            found.setdefault("geometry-aware", []).append(correct[subset].mean(axis=0))
    return {name: np.array(rows) for name, rows in found.items()}


def summary(measured: MeasuredSet, values: NDArray[np.float64]) -> dict[str, Any]:
    """Mean of pairs' shares, or of differences of them, with its 95 % interval, by alpha."""
    low, high = interval(bootstrap_means(values))
    numbers = zip(PROTOCOLS[measured.protocol].alphas, values.mean(axis=0), low, high, strict=True)
    return {
        key(alpha): {
            "mean": round(float(mean), 2),
            "low": round(float(least), 2),
            "high": round(float(most), 2),
        }
        for alpha, mean, least, most in numbers
    }
