"""Animal-Pose: the real photographs, and small sets made by hand, in order and broken."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geoaware.runtime.datasets import Listing, images, read
from geoaware.runtime.datasets.animal_pose import KEYPOINTS
from geoaware.runtime.datasets.keypoints import mirror_pairs, similar_groups
from geoaware.runtime.errors import GeoAwareError, InputError

from .singles import keypoints, point, write

CATEGORIES = ("dog", "cat", "sheep", "horse", "cow")
ALL = [1] * 20


def annotated(number: int, category: int = 2, visible: list[int] = ALL) -> dict[str, Any]:
    return {
        "image_id": number, "bbox": [5, 6, 60, 40], "keypoints": keypoints(visible),
        "num_keypoints": 20, "category_id": category,
    }  # fmt: skip


def description(*annotations: dict[str, Any]) -> dict[str, Any]:
    numbers = sorted({each["image_id"] for each in annotations})
    return {
        "images": {str(number): f"{number:04}.jpg" for number in numbers},
        "annotations": list(annotations),
        "categories": [
            {"id": number, "name": name, "keypoints": KEYPOINTS, "skeleton": []}
            for number, name in enumerate(CATEGORIES, 1)
        ],
    }


def dataset(root: Path, *annotations: dict[str, Any]) -> Path:
    content = description(*annotations)
    return write(root, content, [f"images/{name}" for name in content["images"].values()])


@pytest.fixture(scope="module")
def real() -> Path:
    folder = Path(os.environ.get("GEOAWARE_DATA", ""), "AnimalPose-train")
    if "GEOAWARE_DATA" not in os.environ or not folder.is_dir():
        pytest.skip("AnimalPose-train is not there")
    return folder


@pytest.fixture(scope="module")
def splits(real: Path) -> dict[str, Listing]:
    return {split: read("animal-pose", real, split) for split in ("train", "val")}


def test_the_real_photographs_are_read(splits: dict[str, Listing]):
    counts = {split: (len(each.pairs), each.skipped) for split, each in splits.items()}
    assert counts == {"train": (17935, 115), "val": (1864, 0)}
    # 468, less 6 that show two animals, one with one keypoint and one with a keypoint outside
    assert [len(images(splits[split].pairs)) for split in ("train", "val")] == [360, 100]
    assert {pair.category for pair in splits["val"].pairs} == set(CATEGORIES)


def test_the_keypoint_outside_its_image_is_the_only_problem(splits: dict[str, Listing]):
    assert splits["val"].problems == ()
    [problem] = splits["train"].problems
    assert problem.where.endswith("keypoints.json, image 1801")
    assert problem.what == "keypoint (371, 335) lies outside 2009_003542.jpg, 500 x 333 pixels"


def test_the_splits_share_no_image(splits: dict[str, Listing]):
    assert not set(images(splits["train"].pairs)) & set(images(splits["val"].pairs))


def test_the_draw_of_the_real_photographs_is_the_same_everywhere(splits: dict[str, Listing]):
    pairs = splits["train"].pairs
    assert [pair.name for pair in (pairs[0], pairs[-1])] == [
        "cat/2007_006303.jpg:2008_000115.jpg",
        "sheep/sh58.jpg:sh54.jpg",
    ]
    assert len({pair.name for pair in pairs}) == len(pairs)


def test_across_has_pairs_of_all_two_categories(real: Path):
    listing = read("animal-pose", real, "val", "across")
    assert len({pair.category for pair in listing.pairs}) == 10
    assert len(listing.pairs) == 50 * 100
    assert listing.mirror_pairs["cat-dog"] == mirror_pairs("animal-pose", "cat")


def test_an_image_is_read_as_annotated(tmp_path: Path):
    root = dataset(tmp_path, annotated(1), annotated(2, visible=[0, 0, *ALL[2:]]))
    pair, _ = read("animal-pose", root, "train").pairs
    assert (pair.name, pair.category) == ("cat/0001.jpg:0002.jpg", "cat")
    assert pair.ids == tuple(range(20))
    assert pair.source.path == root / "images" / "0001.jpg"
    assert pair.source.box == (5, 6, 60, 40)
    np.testing.assert_array_equal(pair.source.points, [point(k) for k in range(20)])
    assert np.isnan(pair.target.points[:2]).all()


def test_images_of_two_animals_are_left_out(tmp_path: Path):
    root = dataset(tmp_path, *map(annotated, (1, 2, 3, 3)))
    listing = read("animal-pose", root, "train")
    assert [pair.name for pair in listing.pairs] == [
        "cat/0001.jpg:0002.jpg", "cat/0002.jpg:0001.jpg",
    ]  # fmt: skip
    assert (listing.problems, listing.skipped) == ((), 0)


def test_the_same_images_validate_whatever_their_order(tmp_path: Path):
    numbers = (9, 8, 1, 2, 3, 4, 5, 6)
    one, other = (
        read("animal-pose", dataset(tmp_path / name, *map(annotated, order)), "val")
        for name, order in (("a", numbers), ("b", sorted(numbers)))
    )
    assert {pair.name for pair in one.pairs} == {pair.name for pair in other.pairs}
    assert len(one.pairs) == 2


def test_a_point_up_to_a_pixel_outside_is_moved_onto_the_border(tmp_path: Path):
    edge = annotated(1)
    edge["keypoints"][0] = [65, 20, 1]
    pair = read("animal-pose", dataset(tmp_path, edge, annotated(2)), "train").pairs[0]
    assert pair.source.points[0].tolist() == [64, 20]


def test_the_tables_are_of_the_published_keypoints():
    pairs = mirror_pairs("animal-pose", "cat") or ()
    swapped = {
        (number, KEYPOINTS.index(name.replace("left", "right")))
        for number, name in enumerate(KEYPOINTS)
        if "left" in name
    }
    assert set(pairs) == swapped
    groups = similar_groups("animal-pose", "cat") or []
    assert sorted(number for group in groups for number in group) == list(range(20))
    for group in groups:
        assert len({KEYPOINTS[number].split("_")[-1] for number in group}) == 1


def change(content: dict[str, Any], *path: Any, to: object) -> None:
    *above, last = path
    for key in above:
        content = content[key]
    content[last] = to


BROKEN = {
    "no list of categories": (["categories"], {}, "categories: Input should be a valid"),
    "half a keypoint": (["annotations", 0, "keypoints", 3], [1, 2], "keypoints.3: List should"),
    "words": (["annotations", 0, "bbox", 0], "5", "annotations.0.bbox.0: Input should be a valid"),
    "19 keypoints": (["annotations", 0, "keypoints"], keypoints(ALL)[:19],
                     "image 1: has 19 keypoints; cat has 20"),
    "no such category": (["annotations", 0, "category_id"], 9, "image 1: there is no category 9"),
    "no such image": (["annotations", 0, "image_id"], 9, "image 9: that image is not listed"),
    "one name twice": (["images", "2"], "0001.jpg", "2 images have the name '0001.jpg'"),
    "one category twice": (["categories", 1, "name"], "dog", "2 categories have the name 'dog'"),
    "one id twice": (["categories", 1, "id"], 1, "2 categories have the id 1"),
    "elsewhere": (["images", "2"], "../0002.jpg", "is not the path of an image in the dataset"),
    "other keypoints": (["categories", 1, "keypoints"], KEYPOINTS[::-1],
                        "the keypoints of cat are not those of Animal-Pose"),
}  # fmt: skip


@pytest.mark.parametrize(("path", "to", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_a_damaged_description_is_told_in_one_line(
    tmp_path: Path, path: list[Any], to: object, message: str
):
    content = description(annotated(1), annotated(2))
    change(content, *path, to=to)
    write(tmp_path, content, ["images/0001.jpg", "images/0002.jpg"])
    with pytest.raises(GeoAwareError) as caught:
        read("animal-pose", tmp_path, "train")
    assert str(caught.value).startswith(f"{tmp_path / 'keypoints.json'}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_json_is_told(tmp_path: Path):
    (tmp_path / "images").mkdir()
    (tmp_path / "keypoints.json").write_text(json.dumps(description(annotated(1)))[:90])
    with pytest.raises(GeoAwareError, match="no annotations of Animal-Pose: .*; get it again"):
        read("animal-pose", tmp_path, "train")


def test_a_folder_without_annotations_says_what_belongs_there(tmp_path: Path):
    with pytest.raises(
        InputError, match=r"keypoints\.json: no such file or folder; Animal-Pose is"
    ):
        read("animal-pose", tmp_path, "train")


def test_there_is_no_test_split(tmp_path: Path):
    with pytest.raises(InputError, match="no split 'test' in setting within; it has train, val"):
        read("animal-pose", tmp_path, "test")
