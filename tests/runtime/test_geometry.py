from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoaware.runtime import FeatureMap, Frame, GeoAwareError
from geoaware.runtime.geometry import grid_points

sizes = st.integers(1, 5000)
modes = st.sampled_from(["letterbox", "stretch", "corner"])
sides = st.integers(32, 1024)


@given(modes, sides, sizes, sizes, st.floats(0, 1), st.floats(0, 1))
def test_image_to_frame_and_back_is_the_identity(mode, side, width, height, u, v):
    frame = Frame.fit(mode, side, width, height)
    points = np.array([[u * width, v * height]])
    np.testing.assert_allclose(frame.to_image(frame.to_frame(points)), points, atol=1e-6)


@given(modes, sides, sizes, sizes)
def test_the_image_lies_inside_the_frame(mode, side, width, height):
    frame = Frame.fit(mode, side, width, height)
    corners = frame.to_frame(np.array([[0.0, 0.0], [width, height]]))
    assert (corners >= 0).all()
    assert (corners <= side + 1e-9).all()
    assert corners[1].max() == pytest.approx(side)


def test_letterbox_as_the_paper_has_it():
    """500 x 375 at 840: scaled to 840 x 630, offset int((840 - 630) / 2) = 105 from the top."""
    frame = Frame.fit("letterbox", 840, 500, 375)
    assert (frame.inner_width, frame.inner_height, frame.left, frame.top) == (840, 630, 0, 105)
    np.testing.assert_allclose(frame.to_frame(np.array([[250.0, 0.0]])), [[420.0, 105.0]])


@given(sides, sizes, sizes)
def test_corner_as_sam_has_it(side, width, height):
    """Its ResizeLongestSide: whole pixels by int(x + 0.5), from the top left corner."""
    scale = side * 1.0 / max(height, width)
    frame = Frame.fit("corner", side, width, height)
    expected = (max(1, int(width * scale + 0.5)), max(1, int(height * scale + 0.5)))
    assert (frame.inner_width, frame.inner_height) == expected
    assert (frame.left, frame.top) == (0, 0)


def test_corner_rounds_halves_up_where_letterbox_rounds_them_to_even():
    """5 / 100 of 1010 is 50.5."""
    assert Frame.fit("corner", 1010, 100, 5).inner_height == 51
    assert Frame.fit("letterbox", 1010, 100, 5).inner_height == 50


def test_pixel_centres_lie_at_a_half():
    """Halving an image puts the border between its first two pixels on its first pixel's centre."""
    frame = Frame.fit("stretch", 32, 64, 64)
    np.testing.assert_allclose(frame.to_frame(np.array([[1.0, 1.0]])), [[0.5, 0.5]])


def feature_map(mode: str, side: int, width: int, height: int, grid: int) -> FeatureMap:
    frame = Frame.fit(mode, side, width, height)
    return FeatureMap(np.zeros((grid, grid, 1), np.float32), frame, "test")


def test_keypoint_to_cell_and_back_as_the_papers_have_it():
    """Letterbox: floor(x * 60 / 840), then cell * 14 + 7. Stretch: (cell + 0.5) * 16 * W / 512."""
    features = feature_map("letterbox", 840, 840, 840, 60)
    assert features.grid.cells(np.array([[13.9, 14.0]])).tolist() == [[0, 1]]
    assert features.grid.points(np.array([[0, 1]])).tolist() == [[7.0, 21.0]]
    stretched = feature_map("stretch", 512, 256, 1024, 32)
    assert stretched.grid.cells(np.array([[8.0, 31.9]])).tolist() == [[1, 0]]
    assert stretched.grid.points(np.array([[1, 0]])).tolist() == [[12.0, 16.0]]


@given(modes, sides, sizes, sizes, st.integers(1, 64), st.floats(0, 1), st.floats(0, 1))
def test_a_point_is_within_half_a_cell_of_its_cell_centre(mode, side, width, height, grid, u, v):
    features = feature_map(mode, side, width, height, grid)
    points = np.array([[u * width, v * height]])
    cells = features.grid.cells(points)
    assert (cells >= 0).all()
    assert (cells < grid).all()
    centre = (cells + 0.5) * side / grid
    assert (abs(features.frame.to_frame(points) - centre) <= side / grid / 2 + 1e-6).all()


def test_the_far_border_belongs_to_the_last_cell():
    features = feature_map("stretch", 512, 300, 200, 32)
    assert features.grid.cells(np.array([[300.0, 200.0]])).tolist() == [[31, 31]]


def test_cells_on_the_padding_answer_with_the_border():
    features = feature_map("letterbox", 840, 840, 420, 60)
    assert features.grid.points(np.array([[3, 0]])).tolist() == [[49.0, 0.0]]


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([(10, 20), (101, 5)], r"point 2 \(101, 5\) lies outside the image, which is 100 x 50"),
        ([(-0.1, 5)], r"point 1 \(-0.1, 5\) lies outside"),
        ([(float("nan"), 5)], r"point 1 \(nan, 5\) lies outside"),
        ([1, 2], r"shape \(2,\)"),
        ([(1, 2, 3)], r"shape \(1, 3\)"),
        ([("a", "b")], "must be numbers"),
    ],
)
def test_points_that_are_none_of_the_images(points, message):
    with pytest.raises(GeoAwareError, match=message):
        Frame.fit("stretch", 512, 100, 50).contains(points)


def test_points_on_the_border_are_the_images():
    points = [(0, 0), (100, 50)]
    assert Frame.fit("stretch", 512, 100, 50).contains(points).tolist() == [[0, 0], [100, 50]]


def test_grid_points_are_centres_of_equal_tiles():
    assert grid_points(40, 20, 2).tolist() == [[10, 5], [30, 5], [10, 15], [30, 15]]
