"""PCK of what is being trained, on pairs of the val split, by the metrics of `georun eval`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from numpy import float32
from numpy.typing import NDArray

from ..runtime.datasets import Pair
from ..runtime.datasets.keypoints import similar_groups
from ..runtime.errors import InputError
from ..runtime.evaluation.outcome import Outcome
from ..runtime.evaluation.protocols import Protocol, check_boxes, chosen
from ..runtime.evaluation.results import key
from ..runtime.evaluation.scores import score
from ..runtime.evaluation.selection import Selection
from ..runtime.features import FeatureMap
from ..runtime.geometry import Frame
from ..runtime.matcher import Matcher
from ..runtime.recipe import Matching
from .settings import Validation

# Of a category's sample every image is in memory at once, and hardly more.
MAPS = 64

Describe = Callable[[Path], tuple[NDArray[float32], Frame]]


@dataclass(frozen=True)
class Validator:
    """Pairs to validate on, how they are matched and how that is scored."""

    dataset: str
    pairs: Sequence[Pair]
    matching: Matching
    settings: Validation

    def __post_init__(self) -> None:
        """Raise InputError for a protocol that is none, or not for these pairs."""
        check_boxes(self.pairs, [self.protocol])

    @property
    def protocol(self) -> Protocol:
        """How PCK is computed."""
        asked = self.settings.protocol
        if asked == "all":
            raise InputError("validation.protocol: name one, whose PCK decides which step is best")
        [found] = chosen(self.dataset, [asked] if asked else [])
        return found

    def score(self, describe: Describe) -> dict[str, float]:
        """PCK per image in percent: `pck`; where keypoints have look-alikes `pck_geometry_aware`.

        describe: descriptors (rows, cols, channels) of an image, and its frame.
        """

        @lru_cache(MAPS)
        def features(path: Path) -> FeatureMap:
            descriptors, frame = describe(path)
            return FeatureMap(descriptors, frame, "in training")

        matcher, soft = Matcher(self.matching), self.matching.soft_argmax()
        outcomes = []
        for pair in self.pairs:
            asked = pair.source.points[pair.mutual]
            sides = features(pair.source.path), features(pair.target.path)
            [found], similarity = matcher.find(*sides, asked, [soft])
            outcomes.append(Outcome(pair, found, similarity))
        aware = all(similar_groups(self.dataset, pair.category) for pair in self.pairs)
        alpha = self.settings.alpha
        result = score(self.protocol, [alpha], self.dataset, outcomes, in_subset=aware)
        values = {"pck": result.overall.per_image[key(alpha)]}
        if result.geometry_aware:
            values["pck_geometry_aware"] = result.geometry_aware.scores.per_image[key(alpha)]
        return values


def sample(pairs: Sequence[Pair], per_category: int) -> list[Pair]:
    """So many pairs of each category, the same on every machine, those of a category together."""
    categories = sorted({pair.category for pair in pairs})
    return [
        pair
        for category in categories
        for pair in Selection((category,), sample=per_category).of(pairs)
    ]
