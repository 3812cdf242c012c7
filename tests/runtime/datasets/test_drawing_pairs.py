"""Pairs drawn from single images: which split they are of, which are drawn, and how they look."""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geoaware.runtime.datasets import Listing, drawing_pairs
from geoaware.runtime.datasets.drawing_pairs import PAIRS_PER_IMAGE, Single, draw
from geoaware.runtime.datasets.inspector import Inspector

from .singles import HEIGHT, WIDTH, point

NAMES = ("left_eye", "right_eye", "nose", "tail", "mouth")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    Image.new("RGB", (WIDTH, HEIGHT)).save(path)
    return path


def single(
    picture: Path,
    name: str,
    category: str = "cat",
    visible: str = "11111",
    names: tuple[str, ...] = NAMES,
    split: str | None = None,
) -> Single:
    points = [point(k) if seen == "1" else (np.nan, np.nan) for k, seen in enumerate(visible)]
    return Single(name, name, picture, category, names, np.array(points, np.float64), split=split)


def many(picture: Path, count: int, category: str = "cat", **options: str) -> list[Single]:
    return [single(picture, f"{category[:2]}{n:03}", category, **options) for n in range(count)]


def drawn(images: list[Single], split: str = "train", setting: str = "within") -> Listing:
    return draw(images, split, setting, Inspector(), {})


def names(listing: Listing) -> set[str]:
    return {name for pair in listing.pairs for name in pair.name.split("/", 1)[1].split(":")}


def test_both_orders_of_two_images_are_pairs(picture: Path):
    listing = drawn(many(picture, 3))
    expected = sorted(f"cat/ca00{a}:ca00{b}" for a, b in permutations(range(3), 2))
    assert [pair.name for pair in listing.pairs] == expected
    assert {pair.category for pair in listing.pairs} == {"cat"}
    assert (listing.skipped, listing.problems) == (0, ())


@pytest.mark.parametrize(
    ("a", "b", "pairs"),
    [("11100", "11100", 2), ("11110", "01111", 2), ("11100", "01111", 0), ("11000", "11111", 0)],
)
def test_a_pair_has_three_visible_keypoints_in_common(picture: Path, a: str, b: str, pairs: int):
    listing = drawn([single(picture, "a", visible=a), single(picture, "b", visible=b)])
    assert len(listing.pairs) == pairs


def test_images_that_have_too_little_in_common_are_told(picture: Path):
    listing = drawn([single(picture, "a", visible="11100"), single(picture, "b", visible="00111")])
    [problem] = listing.problems
    assert problem.where == "category cat"
    assert problem.what == "no two images have 3 visible keypoints in common"


def test_a_category_with_one_image_in_a_split_is_told(picture: Path):
    images = [single(picture, "a", split="val"), *many(picture, 2, split="train")]
    assert drawn(images, "train").problems == ()
    [problem] = drawn(images, "val").problems
    assert problem.what == "a pair needs two images with 3 visible keypoints; the split has one"


def test_a_pair_has_the_keypoints_visible_in_either(picture: Path):
    listing = drawn([single(picture, "a", visible="11101"), single(picture, "b", visible="11100")])
    pair = listing.pairs[0]
    assert pair.ids == (0, 1, 2, 4)
    assert pair.source.visible.tolist() == [True, True, True, True]
    assert pair.target.visible.tolist() == [True, True, True, False]
    np.testing.assert_array_equal(pair.source.points, [point(k) for k in pair.ids])
    np.testing.assert_array_equal(pair.target.points[3], [np.nan, np.nan])


@pytest.mark.parametrize(
    ("count", "validating"), [(2, 0), (7, 0), (8, 2), (24, 6), (79, 19), (80, 20), (200, 20)]
)
def test_so_many_images_of_a_category_validate(picture: Path, count: int, validating: int):
    images = many(picture, count)
    held_out = names(drawn(images, "val"))
    assert len(held_out) == validating
    assert names(drawn(images, "train")) == {each.name for each in images} - held_out
    assert names(drawn(images[::-1], "val")) == held_out


def test_those_that_validate_are_not_the_first_nor_the_last(picture: Path):
    places = sorted(int(name[2:]) for name in names(drawn(many(picture, 200), "val")))
    assert places[0] < 50
    assert places[-1] >= 150


def test_images_that_can_be_in_no_pair_do_not_count_for_the_splits(picture: Path):
    images = many(picture, 8)
    more = [*images, single(picture, "last", visible="11000")]
    assert names(drawn(more, "val")) == names(drawn(images, "val"))
    assert len(names(drawn(more, "train"))) == 6


def test_a_split_that_the_dataset_names_holds(picture: Path):
    images = many(picture, 3, split="test") + many(picture, 9, category="dog", split="train")
    assert names(drawn(images, "test")) == {"ca000", "ca001", "ca002"}
    assert drawn(images, "val").pairs == ()


def test_at_most_fifty_pairs_for_each_image(picture: Path):
    listing = drawn(many(picture, 80), "train")
    assert len(listing.pairs) == PAIRS_PER_IMAGE * 60
    listing = drawn(many(picture, 51, split="train"), "train")
    assert len(listing.pairs) == 51 * 50


def test_the_draw_is_the_same_in_any_order_and_on_every_machine(picture: Path):
    images = many(picture, 60, split="train")
    listing = drawn(images)
    again = drawn(images[::-1])
    assert [pair.name for pair in again.pairs] == [pair.name for pair in listing.pairs]
    # worked out apart, in whole numbers of Python
    sources = Counter(pair.name[:9] for pair in listing.pairs)
    assert (sources["cat/ca000"], sources["cat/ca001"]) == (54, 52)


def test_the_draw_is_the_same_however_many_are_looked_at_at_once(
    picture: Path, monkeypatch: pytest.MonkeyPatch
):
    images = many(picture, 60, split="train") + many(picture, 60, category="dog", split="train")
    for setting in ("within", "across"):
        whole = [pair.name for pair in drawn(images, setting=setting).pairs]
        with monkeypatch.context() as patch:
            patch.setattr(drawing_pairs, "AT_ONCE", 700)
            assert [pair.name for pair in drawn(images, setting=setting).pairs] == whole


def test_across_takes_two_categories_of_the_same_keypoints(picture: Path):
    cup = many(picture, 4, category="cup", names=("a", "b", "c", "d", "e"))
    images = many(picture, 2) + many(picture, 3, category="dog") + cup
    listing = drawn(images, setting="across")
    assert len(listing.pairs) == 2 * 2 * 3
    assert {pair.category for pair in listing.pairs} == {"cat-dog"}
    assert names(listing) == {"ca000", "ca001", "do000", "do001", "do002"}
    for pair in listing.pairs:
        a, b = pair.name.removeprefix("cat-dog/").split(":")
        assert a[:2] != b[:2]


def test_across_shares_an_images_pairs_among_the_other_categories(picture: Path):
    images = [
        single(picture, f"{category}{n:02}", category, split="train")
        for category in ("cat", "cow", "dog")
        for n in range(60)
    ]
    counts = Counter(pair.category for pair in drawn(images, setting="across").pairs)
    assert counts == {"cat-cow": 3000, "cat-dog": 3000, "cow-dog": 3000}


def test_images_not_in_order_cost_their_pairs_and_change_no_draw(picture: Path):
    images = many(picture, 60, split="train")
    whole = {pair.name for pair in drawn(images).pairs}
    broken = single(picture.with_name("none.png"), "ca007", split="train")
    listing = drawn([each for each in images if each.name != "ca007"] + [broken])
    left = {name for name in whole if "ca007" not in name}
    assert {pair.name for pair in listing.pairs} == left
    assert listing.skipped == len(whole) - len(left) > 0
    [problem] = listing.problems
    assert problem.what == "no such image"


def test_mirror_pairs_are_of_the_categories_that_pairs_are_of(picture: Path):
    images = many(picture, 2) + many(picture, 2, category="dog") + many(picture, 2, category="elk")
    known = {"cat": ((0, 1),), "dog": ((0, 1),), "elk": ()}
    assert draw(images, "train", "within", Inspector(), known).mirror_pairs == known
    across = draw(images, "train", "across", Inspector(), known).mirror_pairs
    assert across == {"cat-dog": ((0, 1),)}
    assert draw(images, "train", "within", Inspector(), {}).mirror_pairs == {}
