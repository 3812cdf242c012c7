"""Folders of one's own: the format, and every mistake that can be made in it."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geoaware.runtime.datasets import folder, read
from geoaware.runtime.errors import GeoAwareError, InputError

from .singles import point, write

NAMES = ["handle", "rim_left", "rim_right", "foot"]


def image(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "file": f"photographs/{number}.png",
        "category": "mug",
        "keypoints": {name: list(point(k)) for k, name in enumerate(NAMES)},
        **changes,
    }


def dataset(root: Path, *images: dict[str, Any], **changes: Any) -> Path:
    mug = {"keypoints": NAMES, "left_right": [["rim_left", "rim_right"]], **changes}
    content = {"categories": {"mug": mug}, "images": list(images)}
    named = [each["file"] for each in images if isinstance(each, dict)]
    return write(root, content, [name for name in named if not name.startswith(("/", ".."))])


def test_the_example_in_the_documentation_is_in_order(tmp_path: Path):
    text = folder.__doc__ or ""
    example = json.loads(text[text.index("{") : text.rindex("}") + 1])
    other = example["images"][0] | {"file": "photographs/mug-2.jpg"}
    example["images"].append(other)
    for each in example["images"]:
        each["keypoints"] = {name: [9, 9] for name in each["keypoints"]}
    write(tmp_path, example, [each["file"] for each in example["images"]])
    listing = read("folder", tmp_path, "train")
    assert (len(listing.pairs), listing.problems) == (2, ())
    assert listing.mirror_pairs == {"mug": ((2, 3),)}


def test_an_image_is_read_as_annotated(tmp_path: Path):
    hidden = image(2)["keypoints"] | {"handle": [1, 2, 0], "rim_left": [3.5, 4, 2]}
    root = dataset(tmp_path, image(1, box=[5, 6, 60, 40.5]), image(2, keypoints=hidden))
    pair, _ = read("folder", root, "train").pairs
    assert (pair.name, pair.category, pair.ids) == (
        "mug/photographs/1.png:photographs/2.png", "mug", (0, 1, 2, 3),
    )  # fmt: skip
    assert pair.source.path == root / "photographs" / "1.png"
    assert (pair.source.box, pair.target.box) == ((5, 6, 60, 40.5), None)
    np.testing.assert_array_equal(pair.source.points, [point(k) for k in range(4)])
    assert pair.target.visible.tolist() == [False, True, True, True]
    assert pair.target.points[1].tolist() == [3.5, 4]


def test_keypoints_that_are_not_visible_may_be_left_out(tmp_path: Path):
    some = {name: image(1)["keypoints"][name] for name in NAMES[1:]}
    pair, _ = read("folder", dataset(tmp_path, image(1), image(2, keypoints=some)), "train").pairs
    assert pair.target.visible.tolist() == [False, True, True, True]


@pytest.mark.parametrize(
    ("left_right", "known"), [([["rim_left", "rim_right"]], ((1, 2),)), ([], ()), (None, None)]
)
def test_what_changes_places_is_known_where_it_is_told(
    tmp_path: Path, left_right: object, known: object
):
    root = dataset(tmp_path, image(1), image(2), left_right=left_right)
    assert read("folder", root, "train").mirror_pairs.get("mug") == known


def test_splits_are_those_told(tmp_path: Path):
    splits = ("train", "train", "val", "val", "val")
    root = dataset(tmp_path, *(image(n, split=split) for n, split in enumerate(splits)))
    assert len(read("folder", root, "train").pairs) == 2
    assert len(read("folder", root, "val").pairs) == 6
    with pytest.raises(InputError, match=r"keypoints\.json: no image is of the split 'test'"):
        read("folder", root, "test")


def test_a_quarter_validates_where_no_split_is_told(tmp_path: Path):
    root = dataset(tmp_path, *(image(n) for n in (9, 8, 7, 6, 5, 4, 3, 2)))
    assert len({pair.source.path.stem for pair in read("folder", root, "val").pairs}) == 2
    assert len(read("folder", root, "train").pairs) == 6 * 5
    with pytest.raises(InputError, match="no image is of the split 'test'"):
        read("folder", root, "test")


WRONG = {
    "unknown keypoint": ({"keypoints": {"lid": [1, 2]}}, "'lid' is no keypoint of mug; it has han"),
    "unknown category": ({"category": "cup"}, "its category 'cup' is none of mug"),
    "nothing visible": ({"keypoints": {"handle": [1, 2, 0]}}, "has no visible keypoint"),
    "no keypoints": ({"keypoints": {}}, "has no visible keypoint"),
    "too few": ({"keypoints": {"handle": [1, 2], "foot": [3, 4]}},
                "has 2 visible keypoints; a pair needs 3 in common"),
    "visibility": ({"keypoints": {"handle": [1, 2, 3]}}, "keypoints.handle: must be x, y and"),
    "one number": ({"keypoints": {"handle": [1]}}, "keypoints.handle: must be x, y and, where"),
    "words": ({"keypoints": {"handle": ["1", "2"]}}, "keypoints.handle.0: Input should be a valid"),
    "no number": ({"keypoints": {"handle": [float("nan"), 1]}}, "should be a finite number"),
    "elsewhere": ({"file": "../1.png"}, "is not the path of an image in the dataset's folder"),
    "absolute": ({"file": "/etc/passwd"}, "is not the path of an image in the dataset's folder"),
    "two lines": ({"file": "1\n.png"}, "is not the path of an image in the dataset's folder"),
    "half a box": ({"box": [1, 2, 3]}, "box.3: Field required"),
    "empty box": ({"box": [9, 9, 9, 12]}, "the box (9.0, 9.0, 9.0, 12.0) of 1.png is empty"),
    "no such split": ({"split": "tests"}, "split: Input should be 'train', 'val' or 'test'"),
    "unknown key": ({"keypoint": {}}, "keypoint: Extra inputs are not permitted"),
    "outside": ({"keypoints": image(1)["keypoints"] | {"foot": [10, 50]}},
                "keypoint (10, 50) lies outside 1.png, 64 x 48 pixels"),
    "listed twice": ({"file": "photographs/2.png"}, "photographs/2.png: is listed more than once"),
    "written otherwise": ({"file": "./photographs//2.png"}, "photographs/2.png: is listed more"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), WRONG.values(), ids=WRONG.keys())
def test_an_image_that_is_wrong_is_a_problem_and_the_others_go_on(
    tmp_path: Path, changes: dict[str, Any], message: str
):
    root = dataset(tmp_path, image(2), image(3), image(1, **changes))
    listing = read("folder", root, "train")
    [problem] = listing.problems
    assert problem.where == f"{root / 'keypoints.json'}, image 3"
    assert message in problem.what
    assert {pair.source.path.stem for pair in listing.pairs} == {"2", "3"}


def test_an_image_that_is_no_object_is_a_problem(tmp_path: Path):
    listing = read("folder", dataset(tmp_path, image(1), image(2), 3), "train")  # type: ignore[arg-type]
    [problem] = listing.problems
    assert problem.where.endswith("image 3")
    assert len(listing.pairs) == 2


def test_missing_images_are_told(tmp_path: Path):
    root = dataset(tmp_path, *map(image, range(3)))
    (root / "photographs/1.png").unlink()
    listing = read("folder", root, "train")
    assert [problem.what for problem in listing.problems] == ["no such image"]
    assert (len(listing.pairs), listing.skipped) == (2, 4)


def test_an_image_without_a_split_where_others_have_one_is_a_problem(tmp_path: Path):
    root = dataset(tmp_path, *(image(n, split="train") for n in range(2)), image(2))
    listing = read("folder", root, "train")
    [problem] = listing.problems
    assert "has no split, and others have one" in problem.what
    assert len(listing.pairs) == 2


def test_a_category_with_one_image_is_a_problem(tmp_path: Path):
    listing = read("folder", dataset(tmp_path, image(1)), "train")
    [problem] = listing.problems
    assert problem.where == "category mug"
    assert problem.what == "a pair needs two images with 3 visible keypoints; the split has one"
    assert listing.pairs == ()


def test_too_few_images_to_validate_are_a_problem(tmp_path: Path):
    listing = read("folder", dataset(tmp_path, *map(image, range(7))), "val")
    [problem] = listing.problems
    assert problem.where == "category mug"
    assert problem.what == '7 images are too few: 8 are needed, or give every image a "split"'
    told = [image(n, split="val" if n < 2 else "train") for n in range(7)]
    assert read("folder", dataset(tmp_path, *told), "val").problems == ()


def test_a_single_category_has_nothing_across(tmp_path: Path):
    root = dataset(tmp_path, *map(image, range(3)))
    with pytest.raises(InputError, match="no two categories of the split train have the same keyp"):
        read("folder", root, "train", "across")


def test_a_mark_of_the_byte_order_as_windows_writes_is_no_damage(tmp_path: Path):
    path = dataset(tmp_path, image(1), image(2)) / "keypoints.json"
    path.write_bytes(BOM_UTF8 + path.read_bytes())
    assert len(read("folder", tmp_path, "train").pairs) == 2


def test_where_no_image_is_in_order_all_problems_are_told(tmp_path: Path):
    listing = read(
        "folder", dataset(tmp_path, *(image(n, category="cup") for n in range(2))), "val"
    )
    assert (len(listing.pairs), len(listing.problems)) == (0, 2)


CATEGORIES = {
    "no keypoints": ({"keypoints": []}, "categories.mug.keypoints: List should have at least 3"),
    "one twice": ({"keypoints": [*NAMES, "foot"]}, "keypoints has 'foot' more than once"),
    "unknown": ({"left_right": [["rim_left", "lid"]]}, "left_right has 'lid', which is none of"),
    "half": ({"left_right": [["rim_left"]]}, "left_right.0: List should have at least 2"),
    "in two": ({"left_right": [["rim_left", "rim_right"], ["foot", "rim_left"]]},
               "left_right has 'rim_left' more than once"),
    "itself": ({"left_right": [["foot", "foot"]]}, "left_right has 'foot' more than once"),
    "unknown key": ({"mirror": []}, "categories.mug.mirror: Extra inputs are not permitted"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), CATEGORIES.values(), ids=CATEGORIES.keys())
def test_a_category_that_is_wrong_stops(tmp_path: Path, changes: dict[str, Any], message: str):
    root = dataset(tmp_path, image(1), image(2), **changes)
    with pytest.raises(GeoAwareError) as caught:
        read("folder", root, "train")
    assert str(caught.value).startswith(f"{root / 'keypoints.json'}: no description of a dataset: ")
    assert message in str(caught.value)
    assert str(caught.value).endswith("; mend it")


def test_an_empty_folder_says_what_belongs_there(tmp_path: Path):
    with pytest.raises(
        InputError, match="no such file or folder; A dataset of one's own .*; its format: docs/ev"
    ):
        read("folder", tmp_path, "train")
