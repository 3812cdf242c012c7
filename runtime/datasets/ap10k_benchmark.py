"""The benchmark of AP-10K: which images are tested, and which pairs.

"Telling Left from Right: Identifying Geometry-Aware Semantic Correspondence" (CVPR 2024),
supplementary material. Its rules are followed; where more pairs are there than it takes, a draw
decides, and the published lists were drawn by other code. The numbers are of the same kind and
size, but not of the same pairs.

The lists depend on the annotations alone, not on the order they stand in, the machine or the
version of Python.
"""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import GeoAwareError
from ..files import replacing
from . import DATASETS
from .ap10k import COLUMNS, annotation_files, pair_list
from .coco import Animal, animals

SEED = 42
FEWEST_KEYPOINTS = 3
TEST_IMAGES, VAL_IMAGES = 30, 20  # per species
TRAIN_PAIRS_PER_IMAGE = 50
PAIRS_PER_FAMILY = {"val": 400, "test": 900}
PAIRS_PER_TWO_FAMILIES = {"val": 20, "test": 30}

Row = tuple[str, str, str]
Two = tuple[int, int]


def build(root: Path) -> None:
    """Write the list of pairs of every setting and split: `correspondence/<setting>-<split>.csv`.

    A list that is there already and the same is not touched.

    Raises InputError where annotations are missing, GeoAwareError where one is damaged or a list
    cannot be written.
    """
    divided = _divided(animals(annotation_files(root)))
    for setting, splits in DATASETS["ap10k"].splits.items():
        for split in splits:
            rows = _DRAWS[setting](divided[split], split)
            _write(pair_list(root, setting, split), sorted(rows))


def _divided(found: Sequence[Animal]) -> dict[str, list[Animal]]:
    """The images of each split, by id: the last of a species are tested, those before validate."""
    species: dict[str, list[Animal]] = {}
    for animal in sorted(found, key=lambda each: each.image_id):
        if (animal.visibility > 0).sum() >= FEWEST_KEYPOINTS:
            species.setdefault(animal.species, []).append(animal)
    divided: dict[str, list[Animal]] = {"train": [], "val": [], "test": []}
    for images in species.values():
        before_test = max(0, len(images) - TEST_IMAGES)
        before_val = max(0, before_test - VAL_IMAGES)
        divided["train"] += images[:before_val]
        divided["val"] += images[before_val:before_test]
        divided["test"] += images[before_test:]
    return divided


def _intra_species(images: Sequence[Animal], split: str) -> Iterator[Row]:
    for name, group in _grouped(images, lambda each: each.species):
        pairs = _pairs(group)
        if split == "train":
            most = TRAIN_PAIRS_PER_IMAGE * len(group)
            pairs = _drawn(pairs, most, f"intra-species/{split}/{name}")
        yield from _rows(group, pairs, name)


def _cross_species(images: Sequence[Animal], split: str) -> Iterator[Row]:
    for name, group in _grouped(images, lambda each: each.family):
        pairs = _pairs(group, [each.species for each in group])
        drawn = _drawn(pairs, PAIRS_PER_FAMILY[split], f"cross-species/{split}/{name}")
        yield from _rows(group, drawn, name)


def _cross_family(images: Sequence[Animal], split: str) -> Iterator[Row]:
    families = _grouped(images, lambda each: each.family)
    for (first, some), (second, others) in combinations(families, 2):
        both = sorted([*some, *others], key=lambda each: each.image_id)
        pairs = _pairs(both, [each.family for each in both])
        name = f"cross-family/{split}/{first}-{second}"
        drawn = _drawn(pairs, PAIRS_PER_TWO_FAMILIES[split], name)
        yield from _rows(both, drawn, "all")


_DRAWS: dict[str, Callable[[Sequence[Animal], str], Iterator[Row]]] = {
    "intra-species": _intra_species,
    "cross-species": _cross_species,
    "cross-family": _cross_family,
}


def _grouped(
    images: Sequence[Animal], key: Callable[[Animal], str]
) -> list[tuple[str, list[Animal]]]:
    """Images by species or family, both sorted by name, and by image id within."""
    groups: dict[str, list[Animal]] = {}
    for image in sorted(images, key=lambda each: each.image_id):
        groups.setdefault(key(image), []).append(image)
    return sorted(groups.items())


def _pairs(images: Sequence[Animal], apart: Sequence[str] | None = None) -> list[Two]:
    """All pairs a < b with three keypoints in common, a hidden one counting half in each image.

    apart: per image a name that must not be the same on both sides.
    """
    visibility: NDArray[np.int64] = np.array([image.visibility for image in images])
    enough = visibility @ visibility.T >= 4 * FEWEST_KEYPOINTS  # twice v / 2
    if apart is not None:
        names = np.array(apart)
        enough &= names[:, None] != names
    return [(a, b) for a, b in np.argwhere(np.triu(enough, 1)).tolist()]


def _drawn(pairs: list[Two], most: int, group: str) -> list[Two]:
    """A sample of pairs, the same everywhere.

    Python promises that of the numbers of `random` for a seed, not of what `sample` makes of them.
    """
    if len(pairs) <= most:
        return pairs
    generator = random.Random(f"{SEED}/{group}")
    return sorted(pairs, key=lambda _: generator.random())[:most]


def _rows(images: Sequence[Animal], pairs: list[Two], category: str) -> Iterator[Row]:
    for a, b in pairs:
        yield images[a].file_name, images[b].file_name, category


def _write(path: Path, rows: Sequence[Row]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
    content = text.getvalue().encode()
    try:
        if path.is_file() and path.read_bytes() == content:
            return
        path.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise GeoAwareError(f"{path}: cannot be written: {error.strerror}") from None
    with replacing(path) as file:
        file.write(content)
