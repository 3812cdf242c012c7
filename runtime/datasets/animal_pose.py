"""Animal-Pose: cats, dogs, cows, horses and sheep with 20 keypoints each.

"Cross-Domain Adaptation for Animal Pose Estimation" (ICCV 2019). The published keypoints.json is
much like COCO's: images by id, boxes by two corners, keypoints as lists of three.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from ..errors import GeoAwareError
from .coco_keypoints import (
    Category,
    Image,
    ImageFile,
    Object,
    Schema,
    single_objects,
    visible_points,
)
from .drawing_pairs import draw
from .inspector import Inspector, check_unpacked, read_json
from .pair import Box, Listing

LAYOUT = "Animal-Pose is a folder with keypoints.json and images/*."
SOURCE = "Get it: https://sites.google.com/view/animal-pose/"

KEYPOINTS = [
    "left_eye", "right_eye", "nose", "left_ear", "right_ear",
    "left_front_elbow", "right_front_elbow", "left_back_elbow", "right_back_elbow",
    "left_front_knee", "right_front_knee", "left_back_knee", "right_back_knee",
    "left_front_paw", "right_front_paw", "left_back_paw", "right_back_paw",
    "throat", "withers", "tailbase",
]  # fmt: skip

ImageId = Annotated[int, Field(strict=False)]  # strings of digits in the file
Keypoint = Annotated[list[float], Field(min_length=3, max_length=3)]


class _Annotation(Schema):
    image_id: int
    category_id: int
    bbox: Box
    keypoints: list[Keypoint]


class _File(Schema):
    images: dict[ImageId, ImageFile]
    annotations: list[_Annotation]
    categories: list[Category]


def read(root: Path, split: str, setting: str) -> Listing:
    """The pairs that `drawing_pairs.draw` draws of the images that show one animal.

    Raises InputError where a file or folder is missing, GeoAwareError for annotations that are
    damaged or have other keypoints.
    """
    path = root / "keypoints.json"
    check_unpacked((path, root / "images"), LAYOUT, SOURCE)
    found = read_json(path, _File, "annotations of Animal-Pose", "get it again")
    for category in found.categories:
        if category.keypoints != KEYPOINTS:
            raise GeoAwareError(
                f"{path}: the keypoints of {category.name} are not those of Animal-Pose; "
                "other ones can be read as coco or folder"
            )
    images = {number: Image(name) for number, name in found.images.items()}
    singles = single_objects(path, images, map(_object, found.annotations), found.categories)
    return draw(singles, split, setting, Inspector(), {})


def _object(annotation: _Annotation) -> Object:
    points = visible_points([number for each in annotation.keypoints for number in each])
    return Object(annotation.image_id, annotation.category_id, points, annotation.bbox)
