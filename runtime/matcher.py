"""From two feature maps and points of the first to matches."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import ArrayLike

from ..kernels import match
from .errors import GeoAwareError, InputError
from .features import FeatureMap
from .matches import Matches
from .recipe import Matching


@dataclass(frozen=True)
class Matcher:
    """A way to match, usable on any two feature maps of one bundle."""

    matching: Matching

    def match(self, source: FeatureMap, target: FeatureMap, points: ArrayLike) -> Matches:
        """Find points (K, 2) of the source image in the target image, both in their own pixels.

        Every point takes the descriptor of the cell it lies in.

        Raises InputError for points outside the source image or maps of different bundles,
        GeoAwareError for maps with values that are not finite.
        """
        if source.bundle != target.bundle:
            raise InputError(
                f"feature maps of different bundles ({source.bundle}, {target.bundle}) cannot be "
                "compared; extract both with the same one"
            )
        asked = source.frame.contains(points)
        cells = source.cells(asked)
        try:
            found = match(source.at(cells), target.descriptors, self.matching.soft_argmax())
            peaks = target.descriptors.reshape(-1, target.descriptors.shape[2])[found.peaks]
            back = match(peaks, source.descriptors)
        except ValueError as error:
            raise GeoAwareError(f"cannot match: {error}") from None
        mutual = back.peaks == cells[:, 1] * source.descriptors.shape[1] + cells[:, 0]
        return Matches(asked, target.points(found.cells), found.similarity, mutual)
