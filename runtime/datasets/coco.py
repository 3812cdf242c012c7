"""COCO-style annotation files of animals, as AP-10K has them: images that show one animal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ..errors import GeoAwareError
from ..geometry import Points
from .inspector import read_json
from .pair import Box

KEYPOINTS = 17

Item = TypeVar("Item", bound="_Item")


@dataclass(frozen=True, eq=False)
class Animal:
    """An image of one animal.

    size: width and height in pixels, as the annotation has them.
    points: (17, 2) float64, x and y in pixels; NaN where not visible.
    visibility: (17,) int64: 0 not visible, 1 hidden but marked, 2 visible.
    annotation: the file that has it.
    """

    image_id: int
    file_name: str
    size: tuple[int, int]
    species: str
    family: str
    box: Box
    points: Points
    visibility: NDArray[np.int64]
    annotation: Path


def animals(files: Iterable[Path]) -> tuple[Animal, ...]:
    """The images of all files that show one animal, crowds left out, by image id.

    What several files say of one image, annotation or category is taken once. Nothing is read of
    files of which one is damaged: a list of pairs drawn from the rest would be another one.

    Raises InputError for a missing file, GeoAwareError for one that is damaged, or that contradicts
    another.
    """
    images: dict[int, _Image] = {}
    shown: dict[int, dict[int, _Annotation]] = {}
    categories: dict[int, _Category] = {}
    homes: dict[int, Path] = {}
    for path in files:
        content = read_json(path, _File, "COCO annotations of animals", "get it again")
        for image in content.images:
            _add(images, image, path)
            homes.setdefault(image.id, path)
        for annotation in content.annotations:
            _add(shown.setdefault(annotation.image_id, {}), annotation, path)
        for category in content.categories:
            _add(categories, category, path)
    _check_names(images, homes)
    return tuple(
        _animal(images[number], homes[number], annotation, categories)
        for number in sorted(shown.keys() & images)
        for annotation in shown[number].values()
        if len(shown[number]) == 1 and not annotation.iscrowd
    )


class _Schema(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


class _Item(_Schema):
    id: int


def _plain(name: str) -> str:
    if name in ("", ".", "..") or set(name) & set("/\\:\0"):
        raise ValueError(f"{name!r} is not the plain name of a file")
    return name


class _Image(_Item):
    file_name: Annotated[str, AfterValidator(_plain)]
    width: int = Field(gt=0)
    height: int = Field(gt=0)


def _visible(keypoints: list[float]) -> list[float]:
    if len(keypoints) not in (0, 3 * KEYPOINTS) or not set(keypoints[2::3]) <= {0, 1, 2}:
        raise ValueError(f"must be {KEYPOINTS} times x, y and a visibility of 0, 1 or 2")
    return keypoints or [0.0] * (3 * KEYPOINTS)


class _Annotation(_Item):
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    keypoints: Annotated[list[float], AfterValidator(_visible)] = Field([], validate_default=True)
    iscrowd: int = 0


class _Category(_Item):
    name: str
    supercategory: str


class _File(_Schema):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def _add(known: dict[int, Item], item: Item, path: Path) -> None:
    """Take an item, once. Raises GeoAwareError where another one has its id."""
    if known.setdefault(item.id, item) != item:
        kind = type(item).__name__.strip("_").lower()
        raise GeoAwareError(
            f"{path}: {kind} {item.id} is another one than {kind} {item.id} before it; "
            "keep the annotations of one dataset only"
        )


def _check_names(images: dict[int, _Image], homes: dict[int, Path]) -> None:
    seen: dict[str, int] = {}
    for number, image in images.items():
        other = seen.setdefault(image.file_name, number)
        if other != number:
            raise GeoAwareError(
                f"{homes[number]}: images {other} and {number} are both {image.file_name}"
            )


def _animal(
    image: _Image, path: Path, annotation: _Annotation, categories: dict[int, _Category]
) -> Animal:
    if annotation.category_id not in categories:
        raise GeoAwareError(
            f"{path}: annotation {annotation.id} is of category {annotation.category_id}, "
            "which is not there"
        )
    category = categories[annotation.category_id]
    keypoints = np.array(annotation.keypoints).reshape(KEYPOINTS, 3)
    visibility = keypoints[:, 2].astype(np.int64)
    left, top, width, height = annotation.bbox
    return Animal(
        image.id,
        image.file_name,
        (image.width, image.height),
        category.name,
        category.supercategory,
        (left, top, left + width, top + height),
        np.where(visibility[:, None] > 0, keypoints[:, :2], np.nan),
        visibility,
        path,
    )
