from __future__ import annotations

import numpy as np
from PIL import Image

from geoaware.runtime import Matches
from geoaware.runtime.drawing import GAP, HEIGHT, draw_matches


def one_match(source: tuple[float, float], target: tuple[float, float], count: int = 1) -> Matches:
    return Matches(
        np.array([source] * count),
        np.array([target] * count),
        np.full(count, 0.5, np.float32),
        np.ones(count, bool),
    )


def test_points_are_drawn_where_they_are():
    """A 100 x 50 source is shown at 1024 x 512, a 64 x 64 target at 512 x 512 beside it."""
    source, target = Image.new("RGB", (100, 50), "grey"), Image.new("RGB", (64, 64), "grey")
    picture = draw_matches(source, [(target, one_match((10, 40), (48, 16)))])
    assert picture.size == (1024 + GAP + 512, HEIGHT)
    changed = (np.asarray(picture) != 128).any(axis=2)
    for x, y in ((102, 410), (1024 + GAP + 384, 128)):
        assert changed[y - 6 : y + 6, x - 6 : x + 6].all(), "a disc covers the point"
    assert not changed[:100, :1000].any(), "nothing is drawn where nothing was matched"


def test_many_points_become_dots():
    source = Image.new("RGB", (64, 64), "grey")
    few, many = (
        draw_matches(source, [(source, one_match((32, 32), (32, 32), count))]) for count in (1, 65)
    )
    assert (np.asarray(many) != 128).sum() < (np.asarray(few) != 128).sum()


def test_extreme_strips_are_shown_lower():
    strip = Image.new("RGB", (4000, 4), "grey")
    picture = draw_matches(strip, [(strip, one_match((10, 2), (10, 2)))])
    assert picture.width <= 2 * 4096 + 2 * GAP


def test_no_match_leaves_the_images_alone():
    source = Image.new("RGB", (64, 64), "grey")
    picture = draw_matches(source, [(source, one_match((0, 0), (0, 0)).where(np.array([False])))])
    assert (np.asarray(picture)[:, : HEIGHT - 10] == 128).all()
