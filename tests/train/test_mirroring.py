"""Mirrored pairs against drawn pictures, and relabelling against the table of keypoints."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageOps
from pydantic import ValidationError

from geoaware.runtime import datasets
from geoaware.runtime.datasets import AnnotatedImage, Pair, keypoints
from geoaware.runtime.errors import InputError
from geoaware.train.mirroring import Mirroring, View, variants

TABLES = json.loads(Path(datasets.__file__).with_name("keypoint_groups.json").read_text("utf-8"))
MIRROR_PAIRS = {
    **{("spair", name): table["mirror_pairs"] for name, table in TABLES["spair"].items()},
    ("ap10k", "zebra"): TABLES["ap10k"]["mirror_pairs"],
    ("animal-pose", "cat"): TABLES["animal-pose"]["mirror_pairs"],
}

# A face that looks left: left ear, right ear, left eye, right eye, nose, left cheek; the right
# cheek is not among the keypoints.
COLOURS = ("red", "orange", "blue", "cyan", "lime", "magenta")
PARTNERS = np.array([1, 0, 3, 2, 4, -1])
NOWHERE = [np.nan, np.nan]


def image(points: list[list[float]], width: int = 41, name: str = "a.jpg") -> AnnotatedImage:
    places = np.array(points, np.float64).reshape(-1, 2)
    return AnnotatedImage(
        Path(name), (width, 30), places, ~np.isnan(places).any(axis=1), (2, 3, 31, 27)
    )


def pair(source: AnnotatedImage, target: AnnotatedImage) -> Pair:
    return Pair("a-b", "cat", source, target, tuple(range(len(source.points))))


def face(width: int = 41) -> AnnotatedImage:
    return image(
        [[5.5, 4.5], [20.5, 4.5], [4.5, 11.5], [15.5, 10.5], [2.5, 19.5], [9.5, 24.5]], width
    )


def drawn(view: AnnotatedImage) -> Image.Image:
    """Each keypoint as a square of 3 x 3 pixels of its own colour, the box as a frame."""
    picture = Image.new("RGB", view.size)
    draw = ImageDraw.Draw(picture)
    left, top, right, bottom = view.box
    draw.rectangle((left, top, right - 1, bottom - 1), outline="white")
    for (x, y), colour in zip(view.points, COLOURS, strict=True):
        draw.rectangle((x - 1.5, y - 1.5, x + 0.5, y + 0.5), fill=colour)
    return picture


def pixels_of(picture: Image.Image, colour: str) -> np.ndarray:
    """x and y of the centres of all pixels of a colour."""
    wanted = Image.new("RGB", (1, 1), colour).getpixel((0, 0))
    rows, columns = np.nonzero((np.asarray(picture) == wanted).all(axis=2))
    return np.stack([columns, rows], axis=1) + 0.5


@pytest.mark.parametrize("width", [40, 41])
def test_keypoints_and_box_lie_where_the_mirrored_picture_shows_them(width: int):
    """What was the left eye is, in the mirrored picture, where the right eye lies."""
    picture = ImageOps.mirror(drawn(face(width)))
    view = View.of(face(width)).mirror(PARTNERS)
    assert view.mirrored
    for row, partner in enumerate(PARTNERS):
        if partner >= 0:
            place = pixels_of(picture, COLOURS[partner]).mean(axis=0)
            np.testing.assert_allclose(view.points[row], place)
    frame = pixels_of(picture, "white")
    assert view.box == (*frame.min(axis=0) - 0.5, *frame.max(axis=0) + 0.5)


def test_a_keypoint_whose_counterpart_is_not_known_is_nowhere():
    view = View.of(face()).mirror(PARTNERS)
    assert view.visible.tolist() == [True] * 5 + [False]
    assert np.isnan(view.points[5]).all()


def test_a_keypoint_is_visible_where_its_counterpart_was():
    one_eyed = image([[5, 4], [20, 4], [4, 11], NOWHERE])
    view = View.of(one_eyed).mirror(np.array([1, 0, 3, 2]))
    assert view.visible.tolist() == [True, True, False, True]
    np.testing.assert_array_equal(view.points, [[21, 4], [36, 4], NOWHERE, [37, 11]])


def test_an_image_without_a_box_stays_without():
    view = View(Path("a.jpg"), False, (9, 9), np.zeros((1, 2)), np.ones(1, bool), None)
    assert view.mirror(np.array([0])).box is None


@st.composite
def views(draw) -> tuple[View, np.ndarray]:
    """A view of random keypoints, some not visible, and who is whose counterpart."""
    count = draw(st.integers(0, 8))
    order = draw(st.permutations(range(count)))
    partners = np.arange(count)
    for a, b in zip(order[: draw(st.integers(0, count // 2))], order[::-1], strict=False):
        partners[[a, b]] = b, a
    width = draw(st.integers(1, 400))
    places = st.integers(0, 8 * width).map(lambda eighths: eighths / 8)
    spots = st.tuples(places, places) | st.just(tuple(NOWHERE))
    points = draw(st.lists(spots, min_size=count, max_size=count))
    return View.of(image(points, width)), partners


@given(views())
def test_mirrored_twice_is_as_before(case: tuple[View, np.ndarray]):
    view, partners = case
    again = view.mirror(partners).mirror(partners)
    np.testing.assert_array_equal(again.points, view.points)
    np.testing.assert_array_equal(again.visible, view.visible)
    assert (again.path, again.mirrored, again.size, again.box) == (
        view.path, view.mirrored, view.size, view.box,
    )  # fmt: skip


@pytest.mark.parametrize(("dataset", "category"), MIRROR_PAIRS)
def test_left_and_right_change_places_as_the_table_says(dataset: str, category: str):
    """Keypoints one pixel apart, in an order of ids that is not theirs."""
    groups = keypoints.similar_groups(dataset, category) or []
    ids = sorted({number for group in groups for number in group}, reverse=True)
    partners = keypoints.mirror_partners(dataset, category, ids)
    view = View.of(image([[row, row] for row in range(len(ids))]))
    turned = view.mirror(np.array(partners))
    place = dict(zip(ids, turned.points.tolist(), strict=True))
    was = dict(zip(ids, view.points.tolist(), strict=True))
    table = MIRROR_PAIRS[dataset, category]
    for left, right in table:
        assert place[left] == [41 - was[right][0], was[right][1]]
        assert place[right] == [41 - was[left][0], was[left][1]]
    for number in set(ids) - {number for each in table for number in each}:
        assert place[number] == [41 - was[number][0], was[number][1]]


def test_the_variants_of_a_pair():
    """Two cats in profile, source to the left and target to the right: eyes, nose.

    The source shows its left eye, the target its right one; mirrored, they have an eye in common.
    """
    source = image([[10, 5], NOWHERE, [3, 9]], 40, "left.jpg")
    target = image([NOWHERE, [25, 6], [33, 8]], 50, "right.jpg")
    made = variants(pair(source, target), np.array([1, 0, 2]), Mirroring())
    plain, turned, both, own = made
    assert [each.weight for each in made] == [1, 1, 1, 0.25]
    assert len({each.name for each in made}) == 4
    assert all(each.name.startswith("a-b") for each in made)
    shown = [
        (side.path.name, side.mirrored) for each in made for side in (each.source, each.target)
    ]
    assert shown == [
        ("left.jpg", False), ("right.jpg", False),
        ("left.jpg", True), ("right.jpg", False),
        ("left.jpg", True), ("right.jpg", True),
        ("left.jpg", False), ("left.jpg", True),
    ]  # fmt: skip
    assert plain.mutual.tolist() == both.mutual.tolist() == own.mutual.tolist()
    assert plain.mutual.tolist() == [False, False, True]
    assert turned.mutual.tolist() == [False, True, True]
    assert turned.source.points[1:].tolist() == [[30, 5], [37, 9]]
    assert turned.target.points[1:].tolist() == [[25, 6], [33, 8]]
    assert both.target.points[2].tolist() == [17, 8]
    assert own.target.points[2].tolist() == [37, 9]


def test_mirroring_both_loses_no_keypoint_for_want_of_its_counterpart():
    """Two cats in profile to the same side: no image shows the other eye, so no row is its."""
    two = image([[10, 5], [3, 9]]), image([[12, 6], [4, 8]], 50)
    weights = Mirroring(plain=1, source=1, both=1, own=1)
    plain, turned, both, own = variants(pair(*two), np.array([-1, 1]), weights)
    assert plain.mutual.tolist() == both.mutual.tolist() == [True, True]
    assert turned.mutual.tolist() == own.mutual.tolist() == [False, True]
    assert both.source.points.tolist() == [[31, 5], [38, 9]]
    assert both.target.points.tolist() == [[38, 6], [46, 8]]


def test_variants_without_weight_or_keypoint_are_left_out():
    """An eye, and the other one on the target: mirrored alone, the source has what it lacked."""
    apart = pair(image([[10, 5], NOWHERE]), image([NOWHERE, [12, 6]]))
    partners = np.array([1, 0])
    [only] = variants(apart, partners, Mirroring())
    assert only.mutual.tolist() == [False, True]
    assert variants(apart, partners, Mirroring(source=0)) == []
    same = pair(image([[10, 5]]), image([[12, 6]]))
    [plain] = variants(same, np.array([0]), Mirroring(source=0, both=0, own=0))
    assert not plain.source.mirrored
    assert not plain.target.mirrored


def test_who_does_not_know_left_from_right_does_not_mirror():
    unknown = pair(image([[10, 5]]), image([[12, 6]]))
    [plain] = variants(unknown, None, Mirroring(source=0, both=0, own=0))
    assert plain.name == "a-b"
    with pytest.raises(InputError, match=r"^category cat: .* left_right") as caught:
        variants(unknown, None, Mirroring())
    flags = "--set mirroring.source=0 --set mirroring.both=0 --set mirroring.own=0"
    assert str(caught.value).endswith(f"images: {flags}")
    with pytest.raises(InputError, match=r": --set mirroring\.both=0 --set mirroring\.own=0$"):
        variants(unknown, None, Mirroring(source=0))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"plain": -1}, "greater than or equal to 0"),
        ({"own": float("inf")}, "finite"),
        ({"self": 1}, "not permitted"),
        ({"plain": 0, "source": 0, "both": 0, "own": 0}, "all 0"),
    ],
)
def test_weights_that_mean_nothing_are_refused(weights: dict[str, float], message: str):
    with pytest.raises(ValidationError, match=message):
        Mirroring(**weights)
