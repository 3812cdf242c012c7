"""Masks of a bundle whose masks are known by rule: a box, or discs around a point."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geoaware.runtime import Pipeline
from geoaware.runtime.errors import InputError
from geoaware.runtime.geometry import Frame
from geoaware.runtime.segmenter import Segmenter

from .mask_bundle import GRID, PADDING, RADII, SCORES, SIDE, mask_bundle

SIZES = [(120, 80), (50, 200), (16, 11)]  # reduced, reduced and upright, enlarged


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    return Segmenter(mask_bundle(tmp_path_factory.mktemp("bundles") / "rules"))


def picture(size: tuple[int, int]) -> Image.Image:
    return Image.new("RGB", size, (200, 100, 50))


def centres(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    width, height = size
    return np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)


def differing(found: np.ndarray, expected: np.ndarray, border: np.ndarray) -> int:
    """How many pixels differ, those so near the border that interpolation may bend it left out."""
    return int(((found != expected) & ~border).sum())


@pytest.mark.parametrize("size", SIZES)
def test_a_boxs_mask_is_in_the_images_own_pixels(segmenter: Segmenter, size: tuple[int, int]):
    width, height = size
    left, top, right, bottom = box = (0.2 * width, 0.3 * height, 0.8 * width, 0.9 * height)
    found = segmenter.mask(picture(size), box=box)
    assert found.mask.shape == (height, width)
    assert found.mask.dtype == np.bool_
    assert found.score == 5  # the sum of the labels: a top left and a bottom right corner
    x, y = centres(size)
    distance = np.minimum.reduce([x - left, right - x, y - top, bottom - y])
    near = abs(distance) < 4 * max(size) / SIDE / 2
    assert differing(found.mask, distance > 0, near) == 0
    assert near.mean() < 0.5


@pytest.mark.parametrize("size", SIZES)
def test_a_box_ends_where_it_was_drawn(segmenter: Segmenter, size: tuple[int, int]):
    """Half way down its sides, where logits are linear, to less than a pixel and frame pixel."""
    width, height = size
    box = (0.25 * width, 0.25 * height, 0.75 * width, 0.75 * height)
    mask = segmenter.mask(picture(size), box=box).mask
    rows, columns = np.flatnonzero(mask[:, width // 2]), np.flatnonzero(mask[height // 2])
    tolerance = 0.5 + max(size) / SIDE / 2
    assert abs(columns[0] - box[0]) <= tolerance
    assert abs(columns[-1] + 1 - box[2]) <= tolerance
    assert abs(rows[0] - box[1]) <= tolerance
    assert abs(rows[-1] + 1 - box[3]) <= tolerance


def test_one_point_gets_the_best_of_three_masks(segmenter: Segmenter):
    size, point = (120, 80), (60.0, 40.0)
    found = segmenter.mask(picture(size), points=[point])
    assert found.score == pytest.approx(max(SCORES))
    x, y = centres(size)
    radius = RADII[int(np.argmax(SCORES))] * max(size) / SIDE
    distance = np.hypot(x - point[0], y - point[1])
    assert differing(found.mask, distance < radius, abs(distance - radius) < 2) == 0


def test_several_points_get_the_single_mask(segmenter: Segmenter):
    """The discs are not asked for, and between the last point and the padding there is nothing."""
    image = picture((120, 80))
    found = segmenter.mask(image, points=[(20, 20), (100, 60), (5, 5)], labels=[1, 1, 0])
    assert found.score == 1 + 1 + 0 - 1  # labels and the padding's
    assert not found.mask.any()


def test_a_box_comes_after_the_points_and_without_padding(segmenter: Segmenter):
    found = segmenter.mask(picture((120, 80)), box=(10, 10, 90, 70), points=[(20, 20)])
    assert found.score == 1 + 2 + 3
    assert abs(found.mask.sum() - 80 * 60) < 400


def test_many_prompts_of_one_embedding_are_those_of_the_image(segmenter: Segmenter):
    image = picture((120, 80))
    embedding = segmenter.embed(image)
    for prompt in ({"box": (10, 10, 90, 70)}, {"points": [(30, 30)]}):
        found, again = segmenter.mask_of(embedding, **prompt), segmenter.mask(image, **prompt)
        np.testing.assert_array_equal(found.mask, again.mask)
        assert found.score == again.score


def test_the_image_lies_in_the_corner_and_the_rest_is_padding(segmenter: Segmenter):
    embedding = segmenter.embed(picture((64, 32)))
    assert embedding.frame == Frame(SIDE, 64, 32, 64, 32, 0, 0)
    shown, padded = embedding.values[0, :, : GRID // 2], embedding.values[0, :, GRID // 2 :]
    np.testing.assert_allclose(shown[:, 0, 0], np.array([200, 100, 50]) / 255, atol=1e-5)
    np.testing.assert_allclose(padded, np.broadcast_to(np.reshape(PADDING, (3, 1, 1)), (3, 2, 4)))


def test_frames_that_centre_their_image_work_too(tmp_path: Path):
    centred = Segmenter(mask_bundle(tmp_path / "centred", "letterbox"))
    mask = centred.mask(picture((128, 64)), box=(32, 16, 96, 48)).mask
    rows = np.flatnonzero(mask[:, 64])
    assert abs(rows[0] - 16) <= 2
    assert abs(rows[-1] - 47) <= 2


def test_a_bundle_without_masks_says_which_makes_them(lite: Pipeline):
    with pytest.raises(InputError, match="'lite' makes no masks.*geoexport build sam-b-masks"):
        Segmenter(lite.bundle)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ({}, "needs a box, or a point on the object"),
        ({"points": [(3, 3)], "labels": [0]}, "needs a box, or a point on the object"),
        ({"points": [(3, 3)], "labels": [2]}, "labels are 1 .* or 0"),
        ({"points": [(3, 3)], "labels": [1, 1]}, "one for every point"),
        ({"points": [(3, 99)]}, r"point 1 \(3, 99\) lies outside the image"),
        ({"box": (5, 5, 5, 9)}, "box 5,5,5,9 is no box"),
        ({"box": (5, 5, 121, 9)}, "which is 120 x 80 pixels"),
        ({"box": (5, 5, float("nan"), 9)}, "is no box"),
        ({"box": (5, 5, 9)}, "a box is four numbers"),
        ({"box": "left"}, "a box is four numbers"),
    ],
)
def test_prompts_that_are_none_are_refused(segmenter: Segmenter, prompt: dict, message: str):
    with pytest.raises(InputError, match=message):
        segmenter.mask(picture((120, 80)), **prompt)
