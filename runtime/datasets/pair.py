"""Annotated pairs: two images, and keypoints that mean the same in both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..geometry import Points

Box = tuple[float, float, float, float]
MirrorPairs = tuple[tuple[int, int], ...]
"""The ids of keypoints that change places when an image is mirrored; -1 is one that has no id."""


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """An image with K keypoints, in its own pixels (see `geometry`).

    size: width and height in pixels.
    points: (K, 2) float64, x and y; NaN where a keypoint is not visible.
    visible: (K,) bool.
    box: left, top, right, bottom of the object, where the dataset has one.
    """

    path: Path
    size: tuple[int, int]
    points: Points
    visible: NDArray[np.bool_]
    box: Box | None = None


@dataclass(frozen=True, eq=False)
class Pair:
    """Two images of one category; row k of both sides is the keypoint ids[k].

    name: unique in its dataset.
    ids: the dataset's own numbers of the K keypoints visible in at least one of the images.
    difficulty: the dataset's own fields, such as viewpoint or truncation, by name.
    """

    name: str
    category: str
    source: AnnotatedImage
    target: AnnotatedImage
    ids: tuple[int, ...]
    difficulty: dict[str, int] = field(default_factory=dict)

    @property
    def mutual(self) -> NDArray[np.bool_]:
        """Which keypoints are visible in both images: (K,)."""
        return self.source.visible & self.target.visible


class Pairing:
    """Makes pairs of images that have all keypoints of their category, visible or not."""

    def __init__(self) -> None:
        self._parts: dict[tuple[AnnotatedImage, tuple[int, ...]], AnnotatedImage] = {}

    def pair(
        self, name: str, category: str, source: AnnotatedImage, target: AnnotatedImage
    ) -> Pair:
        """A pair with the keypoints visible in either image; row k of the images has the id k."""
        ids = tuple(np.flatnonzero(source.visible | target.visible).tolist())
        return Pair(name, category, self._part(source, ids), self._part(target, ids), ids)

    def _part(self, image: AnnotatedImage, ids: tuple[int, ...]) -> AnnotatedImage:
        """An image with some of its keypoints; pairs of the same ones share it."""
        key = image, ids
        if key not in self._parts:
            rows = list(ids)
            self._parts[key] = replace(
                image, points=image.points[rows], visible=image.visible[rows]
            )
        return self._parts[key]


def images(pairs: Iterable[Pair]) -> list[Path]:
    """The image files of pairs, each once, sorted."""
    return sorted({side.path for pair in pairs for side in (pair.source, pair.target)})


@dataclass(frozen=True)
class Problem:
    """Something wrong with a dataset's files.

    where: the file, and the pair or entry in it where there are several.
    what: what is wrong with it.
    """

    where: str
    what: str


@dataclass(frozen=True)
class Listing:
    """What a dataset holds: the pairs that are in order, and what is wrong with the others.

    skipped: how many pairs were left out because of the problems.
    mirror_pairs: by category, the keypoints that change places in a mirror; a category of which
        nobody knows them is not there.
    """

    pairs: tuple[Pair, ...]
    problems: tuple[Problem, ...] = ()
    skipped: int = 0
    mirror_pairs: Mapping[str, MirrorPairs] = field(default_factory=dict)
