"""Keypoints in the COCO format: images that show one object each, of any categories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ..errors import GeoAwareError
from ..geometry import Points
from .drawing_pairs import Single, draw
from .inspector import Inspector, check_inside, check_unpacked, read_json
from .pair import Box, Listing, MirrorPairs

LAYOUT = "COCO keypoints are a folder with keypoints.json, in the COCO format, and images/*."
SOURCE = "Get it: https://cocodataset.org/#format-data, which most annotation tools can export"

ImageFile = Annotated[str, AfterValidator(check_inside)]


class Schema(BaseModel):
    """A schema that neither mends types nor takes NaN; keys that are not needed may be there."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class Category(Schema):
    """A kind of object; the row of a keypoint's name is its id."""

    id: int
    name: str
    keypoints: list[str] = []


class _Image(Schema):
    id: int
    file_name: ImageFile
    width: int = Field(gt=0)
    height: int = Field(gt=0)


def _in_threes(keypoints: list[float]) -> list[float]:
    if len(keypoints) % 3:
        raise ValueError("must be x, y and a visibility for every keypoint")
    return keypoints


class _Annotation(Schema):
    image_id: int
    category_id: int
    bbox: Box
    keypoints: Annotated[list[float], AfterValidator(_in_threes)] = []
    iscrowd: int = 0


class _File(Schema):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[Category]


@dataclass(frozen=True)
class Image:
    """An image as a file of annotations lists it.

    name: its path below `images`. size: width and height in pixels, where they are told.
    """

    name: str
    size: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class Object:
    """An object in an image. points: (K, 2) float64, x and y in pixels; NaN where not visible."""

    image_id: int
    category_id: int
    points: Points
    box: Box
    crowd: bool = False


def read(root: Path, split: str, setting: str) -> Listing:
    """The pairs that `drawing_pairs.draw` draws; marked keypoints count as visible, hidden or not.

    Keypoints whose names differ in `left` and `right` alone change places in a mirror; of
    categories without such names nobody knows it. Raises InputError where a file or folder is
    missing, GeoAwareError for annotations that are damaged.
    """
    path = root / "keypoints.json"
    check_unpacked((path, root / "images"), LAYOUT, SOURCE)
    found = read_json(path, _File, "COCO keypoints", "export it again")
    _check_unique(path, "images", "id", (each.id for each in found.images))
    images = {each.id: Image(each.file_name, (each.width, each.height)) for each in found.images}
    inspector = Inspector()
    singles = single_objects(path, images, map(_object, found.annotations), found.categories)
    mirror_pairs = {
        each.name: pairs for each in found.categories if (pairs := left_and_right(each.keypoints))
    }
    return draw(singles, split, setting, inspector, mirror_pairs)


def single_objects(
    path: Path,
    images: Mapping[int, Image],
    objects: Iterable[Object],
    categories: Sequence[Category],
) -> list[Single]:
    """The images that show one object, crowds left out, by image id.

    Raises GeoAwareError where the annotations of the file contradict themselves.
    """
    for key in ("id", "name"):
        _check_unique(path, "categories", key, (getattr(each, key) for each in categories))
    for kind in categories:
        _check_unique(path, f"keypoints of {kind.name}", "name", map(str.lower, kind.keypoints))
    kinds = {each.id: each for each in categories}
    _check_unique(path, "images", "name", (each.name for each in images.values()))
    shown: dict[int, list[Object]] = {}
    for each in objects:
        _check_object(path, each, images, kinds)
        shown.setdefault(each.image_id, []).append(each)
    return [
        _single(path, number, images[number], alone, kinds[alone.category_id])
        for number, [alone, *others] in sorted(shown.items())
        if not others and not alone.crowd
    ]


def visible_points(keypoints: Sequence[float]) -> Points:
    """The points (K, 2) of K times x, y and a visibility, NaN where that is 0."""
    table = np.array(keypoints, np.float64).reshape(-1, 3)
    return np.where(table[:, 2:] > 0, table[:, :2], np.nan)


def left_and_right(names: Sequence[str]) -> MirrorPairs:
    """The ids of keypoints whose names differ in `left` and `right` alone.

    A name with one of these words and no counterpart is paired with -1, which is nobody's id, as
    it does not stay what it is either. Empty where no name has a counterpart.
    """
    ids = {name.lower(): number for number, name in enumerate(names)}
    pairs = [
        (number, ids.get(name.replace("left", "right"), -1))
        for name, number in ids.items()
        if "left" in name
    ]
    pairs += [
        (number, -1)
        for name, number in ids.items()
        if "right" in name and name.replace("right", "left") not in ids
    ]
    return tuple(pairs) if any(b >= 0 for _, b in pairs) else ()


def _object(annotation: _Annotation) -> Object:
    left, top, width, height = annotation.bbox
    box = (left, top, left + width, top + height)
    points = visible_points(annotation.keypoints)
    return Object(
        annotation.image_id, annotation.category_id, points, box, bool(annotation.iscrowd)
    )


def _single(path: Path, number: int, image: Image, shown: Object, kind: Category) -> Single:
    points = shown.points if len(shown.points) else np.full((len(kind.keypoints), 2), np.nan)
    return Single(
        name=image.name,
        where=f"{path}, image {number}",
        path=path.parent / "images" / image.name,
        category=kind.name,
        keypoints=tuple(kind.keypoints),
        points=points,
        box=shown.box,
        size=image.size,
    )


def _check_unique(path: Path, what: str, key: str, values: Iterable[object]) -> None:
    """Raise GeoAwareError where two of a kind have the same name or id."""
    for value, count in Counter(values).items():
        if count > 1:
            raise GeoAwareError(f"{path}: {count} {what} have the {key} {value!r}")


def _check_object(
    path: Path, found: Object, images: Mapping[int, Image], kinds: Mapping[int, Category]
) -> None:
    """Raise GeoAwareError for an object that does not fit the rest of the file."""
    where = f"{path}: the annotation of image {found.image_id}"
    if found.image_id not in images:
        raise GeoAwareError(f"{where}: that image is not listed")
    if found.category_id not in kinds:
        raise GeoAwareError(f"{where}: there is no category {found.category_id}")
    kind = kinds[found.category_id]
    if len(found.points) not in (0, len(kind.keypoints)):
        raise GeoAwareError(
            f"{where}: has {len(found.points)} keypoints; {kind.name} has {len(kind.keypoints)}"
        )
