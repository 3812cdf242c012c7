"""Protocols: named ways to compute PCK, the share of correct keypoints.

A keypoint is correct where the distance between prediction and truth, in the target image's
own pixels, is below alpha x a reference length. Papers differ in the reference, in `<` or `<=`
and in the alphas; their numbers differ by 5 to 10 points for it.

A letterboxed frame scales distance and reference alike, so a protocol that papers state in frame
pixels (840 x 840) is the same one in original pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..datasets import DATASETS, Pair
from ..errors import InputError
from ..geometry import Points

Reference = Literal["box", "image", "keypoint-box"]

REFERENCES: dict[Reference, str] = {
    "box": "longer side of the target's box",
    "image": "longer side of the target image",
    "keypoint-box": "longer side of the box around the target's visible keypoints",
}


@dataclass(frozen=True)
class Protocol:
    """A way to compute PCK.

    reference: the length that alpha multiplies.
    inclusive: whether a distance of exactly alpha x reference is correct: `<=` or `<`.
    alphas: the thresholds it is reported at.
    used_by: where its numbers are found.
    """

    name: str
    reference: Reference
    inclusive: bool
    alphas: tuple[float, ...]
    used_by: str

    @property
    def comparison(self) -> str:
        """`<=` or `<`."""
        return "<=" if self.inclusive else "<"

    @property
    def formula(self) -> str:
        """The condition in words and signs, to be shown beside every number."""
        return f"distance {self.comparison} alpha x {REFERENCES[self.reference]}"

    def reference_length(self, pair: Pair) -> float:
        """The length of a pair that alpha multiplies, in pixels of its target image.

        Raises InputError where that is a side of the target's box and it has none.
        """
        if self.reference == "image":
            return float(max(pair.target.size))
        if self.reference == "keypoint-box":
            return _longer_side(pair.target.points[pair.target.visible])
        if pair.target.box is None:
            raise InputError(f"protocol {self.name!r} needs boxes, and {pair.target.path} has none")
        left, top, right, bottom = pair.target.box
        return float(max(right - left, bottom - top))

    def correct(
        self, pair: Pair, distances: NDArray[np.float64], alphas: Sequence[float]
    ) -> NDArray[np.bool_]:
        """Which of a pair's distances (..., K) are correct, at each of A alphas: (..., K, A)."""
        thresholds = np.array(alphas) * self.reference_length(pair)
        compare = np.less_equal if self.inclusive else np.less
        found: NDArray[np.bool_] = compare(distances[..., None], thresholds)
        return found


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "box", "box", True, (0.05, 0.10, 0.20),
            "SPair-71k in most papers and in the DINOv2, DINOv3 and SAM study",
        ),
        Protocol(
            "box-strict", "box", False, (0.01, 0.05, 0.10),
            "SPair-71k and AP-10K in Telling Left from Right (CVPR 2024)",
        ),
        Protocol(
            "image", "image", True, (0.05, 0.10, 0.20),
            "PF-Pascal and PF-Willow in the DINOv2, DINOv3 and SAM study",
        ),
        Protocol(
            "image-strict", "image", False, (0.05, 0.10, 0.15),
            "PF-Pascal in Telling Left from Right (CVPR 2024)",
        ),
        Protocol(
            "keypoint-box", "keypoint-box", True, (0.05, 0.10, 0.15),
            "PF-Willow in most papers",
        ),
    )
}  # fmt: skip


def chosen(dataset: str, asked: Sequence[str]) -> list[Protocol]:
    """The protocols asked for by name, `all` for every one, none for the dataset's usual one.

    `all` leaves out what the dataset may have no reference length for. Raises InputError for a
    name that is none and for one that the dataset cannot be scored by.
    """
    spec = DATASETS[dataset]
    if "all" in asked:
        return [each for each in PROTOCOLS.values() if spec.has_boxes or each.reference != "box"]
    protocols = []
    for name in dict.fromkeys(asked or (spec.protocol,)):
        if name not in PROTOCOLS:
            raise InputError(f"protocol {name!r} is none of {', '.join(PROTOCOLS)}, all")
        if PROTOCOLS[name].reference == "box" and spec.has_boxes is False:
            raise InputError(f"protocol {name!r} needs boxes, and {spec.title} has none")
        protocols.append(PROTOCOLS[name])
    return protocols


def check_boxes(pairs: Sequence[Pair], protocols: Sequence[Protocol]) -> None:
    """Raise InputError where a protocol needs boxes and a target has none, before the work."""
    for protocol in protocols:
        if protocol.reference == "box":
            for pair in pairs:
                protocol.reference_length(pair)


def _longer_side(points: Points) -> float:
    return float((points.max(axis=0) - points.min(axis=0)).max())
