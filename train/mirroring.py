"""Pose-variant pairs: a pair again with images mirrored, left and right keypoints relabelled.

Pair augmentation of "Telling Left from Right" (CVPR 2024): where two images face the same way,
mirroring one of them makes a pair that does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ..runtime.datasets import AnnotatedImage, Pair
from ..runtime.datasets.pair import Box
from ..runtime.errors import InputError
from ..runtime.geometry import Points, mirrored
from ..runtime.recipe import Strict

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, eq=False)
class View:
    """An annotated image, or its mirror image, with K keypoints in that one's own pixels.

    path: the image's file, which is not mirrored.
    size: width and height in pixels.
    points: (K, 2) float64, x and y; NaN where a keypoint is not visible.
    visible: (K,) bool.
    box: left, top, right, bottom of the object, where the dataset has one.
    """

    path: Path
    mirrored: bool
    size: tuple[int, int]
    points: Points
    visible: NDArray[np.bool_]
    box: Box | None

    @classmethod
    def of(cls, image: AnnotatedImage) -> View:
        """The image as it is."""
        return cls(image.path, False, image.size, image.points, image.visible, image.box)

    def mirror(self, partners: NDArray[np.intp]) -> View:
        """The mirror image, each row as before the same keypoint: row k lies where partners[k] did.

        partners: (K,) as `runtime.datasets.keypoints.partner_rows` has them; a row whose partner
        is -1 is visible no more.
        """
        width = self.size[0]
        known = partners >= 0
        points = np.where(known[:, None], mirrored(self.points, width)[partners], np.nan)
        visible = self.visible[partners] & known
        box = self.box
        if box is not None:
            left, top, right, bottom = box
            box = width - right, top, width - left, bottom
        return View(self.path, not self.mirrored, self.size, points, visible, box)


@dataclass(frozen=True, eq=False)
class ViewPair:
    """Two views, row k of both the same keypoint, and the weight of their loss."""

    name: str
    source: View
    target: View
    weight: float

    @property
    def mutual(self) -> NDArray[np.bool_]:
        """Which keypoints are visible in both views: (K,)."""
        return self.source.visible & self.target.visible


class Mirroring(Strict):
    """The weight that each variant of a pair has in the loss; 0 leaves the variant out."""

    plain: Weight = Field(1.0, description="the pair as it is")
    source: Weight = Field(1.0, description="the source mirrored, the target as it is")
    both: Weight = Field(1.0, description="both images mirrored")
    own: Weight = Field(0.25, description="the source and its own mirror image")

    @model_validator(mode="after")
    def _something_left(self) -> Mirroring:
        if not any((self.plain, self.source, self.both, self.own)):
            raise ValueError("plain, source, both and own are all 0: that leaves no pair")
        return self


def variants(pair: Pair, partners: NDArray[np.intp] | None, weights: Mirroring) -> list[ViewPair]:
    """The variants of a pair that have a weight and a keypoint visible on both sides.

    partners: (K,) row of the keypoint that each of the pair's becomes in a mirror, its own row
    where it has no counterpart, -1 where that is not among them; None where nobody knows.

    Raises InputError where they are not known and a variant with a weight is mirrored.
    """
    source, target = View.of(pair.source), View.of(pair.target)
    made = [ViewPair(pair.name, source, target, weights.plain)]
    if partners is None:
        _refuse_mirrored(pair, weights)
    else:
        turned = source.mirror(partners)
        # Both sides relabelled alike correspond as before. Left as they are, no row is lost for a
        # counterpart that neither image shows, such as the other eye of two heads in profile.
        same = np.arange(len(partners))
        two = source.mirror(same), target.mirror(same)
        made += [
            ViewPair(f"{pair.name}, source mirrored", turned, target, weights.source),
            ViewPair(f"{pair.name}, both mirrored", *two, weights.both),
            ViewPair(f"{pair.name}, source and its mirror image", source, turned, weights.own),
        ]
    return [each for each in made if each.weight > 0 and each.mutual.any()]


def _refuse_mirrored(pair: Pair, weights: Mirroring) -> None:
    asked = [name for name in ("source", "both", "own") if getattr(weights, name) > 0]
    if asked:
        flags = " ".join(f"--set mirroring.{name}=0" for name in asked)
        raise InputError(
            f"category {pair.category}: nothing tells which of its keypoints change places in a "
            "mirror (in a dataset of one's own, left_right does); to train without mirrored "
            f"images: {flags}"
        )
