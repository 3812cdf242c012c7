"""Pairs drawn from annotated images, for datasets that have no lists of pairs.

What is drawn depends on the annotations alone, not on the machine or on which images are in order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..geometry import Points
from .inspector import Inspector
from .pair import AnnotatedImage, Box, Listing, MirrorPairs, Pairing

SETTINGS = ("within", "across")
SEED = 0
FEWEST_KEYPOINTS = 3  # visible in both images of a pair
PAIRS_PER_IMAGE = 50
VAL_IMAGES = 20  # of a category
VAL_SHARE = 4  # one in so many at most, and a pair needs two
AT_ONCE = 1 << 22  # pairs looked at: those of 25,000 images would take gigabytes together


@dataclass(frozen=True, eq=False)
class Single:
    """An image of one object as it is annotated, not held against its file yet.

    name: its path as the dataset has it; pairs are named after it.
    where: the file of the annotation, and what in it speaks of the image.
    keypoints: the names of its category's K keypoints; a name's row is the keypoint's id.
    points: (K, 2) float64, x and y in pixels; NaN where not visible.
    size: width and height in pixels, where the annotation has them.
    split: train, val or test, where the dataset says it.
    """

    name: str
    where: str
    path: Path
    category: str
    keypoints: tuple[str, ...]
    points: Points
    box: Box | None = None
    size: tuple[int, int] | None = None
    split: str | None = None

    @property
    def visible(self) -> NDArray[np.bool_]:
        """Which keypoints are visible: (K,)."""
        return np.asarray(np.isfinite(self.points).all(axis=1))


@dataclass(frozen=True)
class _Lot:
    """Images of one category, or of two, of which pairs are drawn.

    most: the number of pairs that are taken where there are more.
    across: whether the images of a pair are of two categories.
    """

    category: str
    images: list[Single]
    most: int
    mirror_pairs: MirrorPairs | None
    across: bool = False


def draw(
    images: Iterable[Single],
    split: str,
    setting: str,
    inspector: Inspector,
    mirror_pairs: Mapping[str, MirrorPairs],
    remedy: str = "",
) -> Listing:
    """The pairs of a split: of two images of one category (`within`) or of two (`across`).

    Both orders of two images are pairs, where they have three visible keypoints in common. Across
    categories, both must have the same keypoints; such a pair's category is `cat-dog`. Of more
    than 50 pairs for each image, a hash of their names decides which are taken. A category that
    can have no pair is a problem; single images with fewer than three visible keypoints are not.

    Args:
        images: those of all splits.
        split: train, val or test.
        setting: one of `SETTINGS`.
        inspector: what the images are held against their files with.
        mirror_pairs: by category, where they are known.
        remedy: what else helps a category with too few images to validate on some.

    Raises InputError where no two categories can be paired across.
    """
    groups = {
        category: chosen
        for category, group in sorted(_by_category(images).items())
        if (chosen := _chosen(category, group, split, inspector, remedy))
    }
    checked = {each.name: _checked(each, inspector) for group in groups.values() for each in group}
    lots = list((_within if setting == "within" else _across)(groups, mirror_pairs))
    if groups and not lots:
        raise InputError(f"no two categories of the split {split} have the same keypoints")
    pairing = Pairing()
    for lot in lots:
        for a, b in _drawn(lot, inspector):
            source, target = checked[a.name], checked[b.name]
            if source is None or target is None:
                inspector.add(None)
            else:
                name = f"{lot.category}/{a.name}:{b.name}"
                inspector.add(pairing.pair(name, lot.category, source, target))
    known = {lot.category: lot.mirror_pairs for lot in lots if lot.mirror_pairs is not None}
    return replace(inspector.listing(), mirror_pairs=known)


def _by_category(images: Iterable[Single]) -> dict[str, list[Single]]:
    groups: dict[str, list[Single]] = {}
    for image in images:
        groups.setdefault(image.category, []).append(image)
    return groups


def _chosen(
    category: str, images: Sequence[Single], split: str, inspector: Inspector, remedy: str
) -> list[Single]:
    """A category's images of a split, those left out that can be in no pair."""
    usable = [each for each in images if each.visible.sum() >= FEWEST_KEYPOINTS]
    chosen = _of_split(usable, split)
    where = f"category {category}"
    if not usable and images[0].keypoints:
        inspector.problem(where, f"no image has {FEWEST_KEYPOINTS} visible keypoints")
    elif usable and not chosen and not any(each.split for each in usable):
        few = f"{len(usable)} images are too few: {2 * VAL_SHARE} are needed"
        inspector.problem(where, f"{few}, {remedy}" if remedy else few)
    return chosen


def _of_split(images: Sequence[Single], split: str) -> list[Single]:
    """A category's images of a split.

    Where the dataset does not say it, 20 validate, a quarter at most, and none where that leaves
    one, which makes no pair. A hash of their names draws them: ids may tell of where images are
    from, and those that train and those that validate should be of the same kind.
    """
    most = min(VAL_IMAGES, len(images) // VAL_SHARE)
    drawn = sorted(images, key=_chance)[: most if most > 1 else 0]
    validating = {each.name for each in drawn}
    return [
        each
        for each in images
        if (each.split or ("val" if each.name in validating else "train")) == split
    ]


def _checked(image: Single, inspector: Inspector) -> AnnotatedImage | None:
    return inspector.annotated(image.where, image.path, image.points, image.box, image.size)


def _within(
    groups: Mapping[str, list[Single]], mirror_pairs: Mapping[str, MirrorPairs]
) -> Iterator[_Lot]:
    for category, images in groups.items():
        most = PAIRS_PER_IMAGE * len(images)
        yield _Lot(category, images, most, mirror_pairs.get(category))


def _across(
    groups: Mapping[str, list[Single]], mirror_pairs: Mapping[str, MirrorPairs]
) -> Iterator[_Lot]:
    """Every two categories of the same keypoints; an image's 50 pairs are shared among them."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for category, images in groups.items():
        alike.setdefault(images[0].keypoints, []).append(category)
    for categories in alike.values():
        for first, second in combinations(categories, 2):
            both = groups[first] + groups[second]
            most = PAIRS_PER_IMAGE * len(both) // (len(categories) - 1)
            pairs = [mirror_pairs.get(category) for category in (first, second)]
            same = pairs[0] if pairs[0] == pairs[1] else None
            yield _Lot(f"{first}-{second}", both, most, same, across=True)


def _drawn(lot: _Lot, inspector: Inspector) -> list[tuple[Single, Single]]:
    """The pairs of a lot: all that have enough in common, or those whose chance is lowest."""
    visible = np.array([each.visible for each in lot.images], np.float32)
    categories = np.array([each.category for each in lot.images])
    own = np.array([_chance(each) for each in lot.images], np.uint64)
    pairs, chances = np.empty((0, 2), np.intp), np.empty(0, np.uint64)
    rows = max(1, AT_ONCE // len(own))
    for first in range(0, len(own), rows):
        enough = visible[first : first + rows] @ visible.T >= FEWEST_KEYPOINTS
        if lot.across:
            enough &= categories[first : first + rows, None] != categories
        np.fill_diagonal(enough[:, first:], False)
        found = np.argwhere(enough)
        found[:, 0] += first
        pairs = np.concatenate([pairs, found])
        chances = np.concatenate([chances, _mixed(own[found[:, 0]], own[found[:, 1]])])
        if len(pairs) > lot.most:
            lowest = chances.argpartition(lot.most)[: lot.most]
            pairs, chances = pairs[lowest], chances[lowest]
    if not len(pairs):
        _tell_why(lot, inspector)
    return [(lot.images[a], lot.images[b]) for a, b in pairs.tolist()]


def _tell_why(lot: _Lot, inspector: Inspector) -> None:
    enough = f"{FEWEST_KEYPOINTS} visible keypoints"
    one = f"a pair needs two images with {enough}; the split has one"
    several = f"no two images have {enough} in common"
    inspector.problem(f"category {lot.category}", several if lot.images[1:] else one)


def _mixed(sources: NDArray[np.uint64], targets: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A random number of every ordered pair's own (n,), from the numbers of its two images.

    No library's generator decides: SHA-256 makes a number of each name, and the last step of
    SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) mixes two, as millions of pairs would be many
    for SHA-256.
    """
    mixed = sources * np.uint64(3) + targets
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))


def _chance(image: Single) -> int:
    """A random number of an image's own, below 2^64, from its name."""
    digest = hashlib.sha256(f"{SEED}/{image.name}".encode()).digest()
    return int.from_bytes(digest[:8], "little")
