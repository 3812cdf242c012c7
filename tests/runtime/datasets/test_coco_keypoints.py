"""Keypoints in the COCO format, in order and broken by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geoaware.runtime.datasets import read
from geoaware.runtime.datasets.coco_keypoints import left_and_right
from geoaware.runtime.datasets.keypoints import partner_rows
from geoaware.runtime.errors import GeoAwareError, InputError

from .singles import HEIGHT, WIDTH, keypoints, point, write

NAMES = ["nose", "left_eye", "right_eye", "tail"]


def annotated(number: int, visible: tuple[int, ...] = (2, 2, 2, 1)) -> dict[str, Any]:
    flat = [value for each in keypoints(visible) for value in each]
    return {
        "id": number, "image_id": number, "category_id": 7, "bbox": [5, 6, 50, 30], "iscrowd": 0,
        "keypoints": flat, "num_keypoints": 4, "area": 1500, "segmentation": [],
    }  # fmt: skip


def description(*annotations: dict[str, Any]) -> dict[str, Any]:
    return {
        "info": {},
        "images": [
            {"id": number, "file_name": f"a/{number}.png", "width": WIDTH, "height": HEIGHT}
            for number in sorted({each["image_id"] for each in annotations})
        ],
        "annotations": list(annotations),
        "categories": [
            {"id": 7, "name": "fox", "keypoints": NAMES, "skeleton": []},
            {"id": 8, "name": "stone"},
        ],
    }


def dataset(root: Path, content: dict[str, Any]) -> Path:
    return write(root, content, [f"images/{each['file_name']}" for each in content["images"]])


def test_an_image_is_read_as_annotated(tmp_path: Path):
    root = dataset(tmp_path, description(annotated(1), annotated(2, (0, 2, 1, 2))))
    listing = read("coco", root, "train")
    pair = listing.pairs[0]
    assert (pair.name, pair.category) == ("fox/a/1.png:a/2.png", "fox")
    assert pair.source.path == root / "images" / "a" / "1.png"
    assert pair.source.box == (5, 6, 55, 36)
    assert pair.source.visible.all()  # hidden but marked counts
    assert pair.target.visible.tolist() == [False, True, True, True]
    np.testing.assert_array_equal(pair.source.points, [point(k) for k in range(4)])
    assert listing.mirror_pairs == {"fox": ((1, 2),)}


def test_crowds_and_images_of_two_objects_are_left_out(tmp_path: Path):
    crowd = annotated(3) | {"iscrowd": 1}
    stone = annotated(4) | {"category_id": 8, "keypoints": []}
    content = description(*map(annotated, (1, 2)), crowd, annotated(4), stone)
    listing = read("coco", dataset(tmp_path, content), "train")
    assert {pair.name for pair in listing.pairs} == {"fox/a/1.png:a/2.png", "fox/a/2.png:a/1.png"}
    assert (listing.problems, listing.skipped) == ((), 0)


def test_an_object_without_keypoints_is_in_no_pair(tmp_path: Path):
    bare = annotated(3)
    del bare["keypoints"]
    listing = read("coco", dataset(tmp_path, description(*map(annotated, (1, 2)), bare)), "train")
    assert (len(listing.pairs), listing.problems) == (2, ())


def test_another_size_and_a_point_outside_are_problems(tmp_path: Path):
    content = description(*map(annotated, (1, 2, 3, 4)))
    content["images"][2]["width"] = 99
    content["annotations"][3]["keypoints"][0] = -2
    listing = read("coco", dataset(tmp_path, content), "train")
    assert (len(listing.pairs), listing.skipped) == (2, 10)
    told = [problem.what for problem in listing.problems]
    assert told == [
        "says 3.png has 99 x 48 pixels; it has 64 x 48",
        "keypoint (-2, 20) lies outside 4.png, 64 x 48 pixels",
    ]


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (["nose"], ()),
        (["left_eye", "nose", "right_eye"], ((0, 2),)),
        (["Right Ear", "Left Ear"], ((1, 0),)),
        (["left_ear", "right_ear", "left_paw", "right_hoof"], ((0, 1), (2, -1), (3, -1))),
        (["bright_spot", "left_paw"], ()),
    ],
)
def test_names_say_what_changes_places(names: list[str], pairs: tuple[tuple[int, int], ...]):
    assert left_and_right(names) == pairs


def test_one_side_without_the_other_becomes_nobody_in_a_mirror():
    pairs = left_and_right(["left_ear", "right_ear", "left_paw", "tail"])
    assert partner_rows(pairs, (0, 1, 2, 3)).tolist() == [1, 0, -1, 3]


def test_a_name_of_two_keypoints_is_told(tmp_path: Path):
    content = description(annotated(1), annotated(2))
    content["categories"][0]["keypoints"] = ["nose", "left_eye", "Left_Eye", "tail"]
    with pytest.raises(GeoAwareError, match="2 keypoints of fox have the name 'left_eye'"):
        read("coco", dataset(tmp_path, content), "train")


def test_a_category_whose_images_show_too_little_is_told(tmp_path: Path):
    bare = annotated(4) | {"category_id": 8, "keypoints": []}
    content = description(*(annotated(n, (2, 2, 0, 0)) for n in (1, 2, 3)), bare)
    root = dataset(tmp_path, content)
    for split in ("train", "val"):
        [problem] = read("coco", root, split).problems  # none of stone, which has no keypoints
        assert problem.where == "category fox"
        assert problem.what == "no image has 3 visible keypoints"


def test_without_left_and_right_nobody_knows_what_changes_places(tmp_path: Path):
    content = description(annotated(1), annotated(2))
    content["categories"][0]["keypoints"] = ["a", "b", "c", "d"]
    listing = read("coco", dataset(tmp_path, content), "train")
    assert (len(listing.pairs), listing.mirror_pairs) == (2, {})


def test_a_cut_list_of_keypoints_is_told(tmp_path: Path):
    content = description(annotated(1), annotated(2))
    content["annotations"][0]["keypoints"].pop()
    with pytest.raises(GeoAwareError, match="must be x, y and a visibility for every keypoint"):
        read("coco", dataset(tmp_path, content), "train")


def test_an_id_of_two_images_is_told(tmp_path: Path):
    content = description(annotated(1), annotated(2))
    content["images"][1]["id"] = 1
    with pytest.raises(GeoAwareError, match="2 images have the id 1"):
        read("coco", dataset(tmp_path, content), "train")


def test_an_image_elsewhere_is_refused(tmp_path: Path):
    content = description(annotated(1), annotated(2))
    content["images"][0]["file_name"] = "/etc/passwd"
    (tmp_path / "images").mkdir()
    with pytest.raises(GeoAwareError, match="is not the path of an image in the dataset's folder"):
        read("coco", write(tmp_path, content, []), "train")


def test_a_folder_without_images_says_what_belongs_there(tmp_path: Path):
    write(tmp_path, description(annotated(1)), [])
    with pytest.raises(InputError, match="images: no such file or folder; COCO keypoints are"):
        read("coco", tmp_path, "train")
