"""A folder of one's own: images with named keypoints, described by keypoints.json.

    {
      "categories": {
        "mug": {
          "keypoints": ["handle_top", "handle_bottom", "rim_left", "rim_right"],
          "left_right": [["rim_left", "rim_right"]]
        }
      },
      "images": [
        {
          "file": "photographs/mug-1.jpg",
          "category": "mug",
          "keypoints": {"handle_top": [412, 180.5], "rim_left": [120, 96], "rim_right": [0, 0, 0]},
          "box": [96, 60, 450, 400],
          "split": "train"
        }
      ]
    }

`left_right` names the keypoints that become each other when an image is mirrored; it is `[]` where
none do, and left out where that is not known, which rules out training on mirrored images:
`geotrain head` refuses until they are left out.
`file` is a path inside the folder; an image shows one object and is listed once. Coordinates are
pixels of the image as it is shown, its EXIF orientation applied, from its upper left corner. A
keypoint may have a visibility as third number: 0 is not visible, 1 and 2 are. Keypoints that are
not visible may be left out; three must be visible, as two images make a pair where they have three
in common. `box` (left, top, right, bottom of the object) and `split` (train, val
or test) are optional. Where no image has a split, 20 of each category, drawn by a hash of their
names, validate, a quarter at most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import InputError, first_problem
from .drawing_pairs import FEWEST_KEYPOINTS, Single, draw
from .inspector import Inspector, check_inside, check_unpacked, read_json
from .pair import Box, Listing, MirrorPairs

LAYOUT = "A dataset of one's own is a folder with keypoints.json and the images that it names;"
SOURCE = "its format: docs/evaluation.md"


def _with_visibility(numbers: list[float]) -> list[float]:
    if len(numbers) not in (2, 3) or numbers[2:] not in ([], [0], [1], [2]):
        raise ValueError("must be x, y and, where wanted, a visibility of 0, 1 or 2")
    return numbers if len(numbers) == 3 else [*numbers, 1.0]


def _check_unique(what: str, names: Iterable[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"{what} has {name!r} more than once")


Coordinates = Annotated[list[float], AfterValidator(_with_visibility)]


class _Schema(BaseModel):
    """A schema that neither mends types nor takes NaN, and knows every key."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False, extra="forbid")


class _Category(_Schema):
    keypoints: list[str] = Field(min_length=FEWEST_KEYPOINTS)
    left_right: list[Annotated[list[str], Field(min_length=2, max_length=2)]] | None = None

    @model_validator(mode="after")
    def _names_are_known(self) -> _Category:
        _check_unique("keypoints", self.keypoints)
        changing = list(chain.from_iterable(self.left_right or ()))
        _check_unique("left_right", changing)
        for name in changing:
            if name not in self.keypoints:
                raise ValueError(f"left_right has {name!r}, which is none of its keypoints")
        return self

    @property
    def mirror_pairs(self) -> MirrorPairs | None:
        """`left_right` by the keypoints' ids."""
        if self.left_right is None:
            return None
        ids = self.keypoints.index
        return tuple((ids(left), ids(right)) for left, right in self.left_right)


class _Image(_Schema):
    file: Annotated[str, AfterValidator(check_inside)]
    category: str
    keypoints: dict[str, Coordinates]
    box: Annotated[Box, Field(strict=False)] | None = None  # a list in the file
    split: Literal["train", "val", "test"] | None = None


class _File(_Schema):
    categories: dict[str, _Category]
    images: list[Any]


def read(root: Path, split: str, setting: str) -> Listing:
    """The pairs that `drawing_pairs.draw` draws of the images in order; the others are problems.

    Raises InputError where keypoints.json is missing or no image is of the split, GeoAwareError
    where it cannot be read or a category in it is wrong.
    """
    path = root / "keypoints.json"
    check_unpacked((path,), LAYOUT, SOURCE)
    found = read_json(path, _File, "description of a dataset", "mend it")
    inspector = Inspector()
    singles = _singles(path, found, inspector)
    splits = {each.split for each in singles}
    if singles and split not in (("train", "val") if splits == {None} else splits):
        raise InputError(f"{path}: no image is of the split {split!r}")
    mirror_pairs = {
        name: each.mirror_pairs
        for name, each in found.categories.items()
        if each.mirror_pairs is not None
    }
    return draw(singles, split, setting, inspector, mirror_pairs, 'or give every image a "split"')


def _singles(path: Path, found: _File, inspector: Inspector) -> list[Single]:
    """The images in order; the others are problems."""
    images = _images(path, found, inspector)
    some_have_a_split = any(each.split for each in images.values())
    singles: dict[str, Single] = {}
    for where, image in images.items():
        try:
            if image.file in singles:
                raise ValueError("is listed more than once")
            if some_have_a_split and image.split is None:
                raise ValueError("has no split, and others have one")
            singles[image.file] = _single(where, path.parent, image, found.categories)
        except ValueError as error:
            inspector.problem(where, f"{image.file}: {error}")
    return list(singles.values())


def _images(path: Path, found: _File, inspector: Inspector) -> dict[str, _Image]:
    """The images that fit their schema, by where they stand; the others are problems."""
    images = {}
    for number, content in enumerate(found.images, start=1):
        where = f"{path}, image {number}"
        try:
            images[where] = _Image.model_validate(content)
        except ValidationError as error:
            inspector.problem(where, first_problem(error))
    return images


def _single(where: str, folder: Path, image: _Image, categories: Mapping[str, _Category]) -> Single:
    """An image, its keypoints in the category's order. Raises ValueError for one that is wrong."""
    if image.category not in categories:
        raise ValueError(f"its category {image.category!r} is none of {', '.join(categories)}")
    names = categories[image.category].keypoints
    for name in image.keypoints:
        if name not in names:
            raise ValueError(
                f"{name!r} is no keypoint of {image.category}; it has {', '.join(names)}"
            )
    table = np.array([image.keypoints.get(name, (0, 0, 0)) for name in names], np.float64)
    visible = int((table[:, 2] > 0).sum())
    if visible < FEWEST_KEYPOINTS:
        raise ValueError(
            f"has {visible or 'no'} visible keypoint{'s' * (visible > 1)}; "
            f"a pair needs {FEWEST_KEYPOINTS} in common"
        )
    return Single(
        name=image.file,
        where=where,
        path=folder / image.file,
        category=image.category,
        keypoints=tuple(names),
        points=np.where(table[:, 2:] > 0, table[:, :2], np.nan),
        box=image.box,
        split=image.split,
    )
