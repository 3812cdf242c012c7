"""Neighbours and the distances of pose alignment on the device, against float64 and the host."""

from __future__ import annotations

import numpy as np
import pytest

from geoaware.kernels import neighbours as neighbours_on_host
from geoaware.kernels import reference
from geoaware.kernels.cuda.arrays import DeviceArray
from geoaware.kernels.cuda.neighbours import neighbours
from geoaware.kernels.cuda.pose import masked_distance, mutual_distance, resized
from geoaware.runtime.features import FeatureMap
from geoaware.runtime.geometry import Frame
from geoaware.runtime.pose import _on_grid, instance_distance

from .test_softargmax import TYPES, descriptors

# height and width of a, those of b, channels
SHAPES = [
    ((1, 1), (1, 1), 5),
    ((1, 3), (31, 1), 256),
    ((3, 31), (7, 9), 768),
    ((8, 8), (8, 8), 3968),
    ((9, 7), (13, 5), 5),
    ((17, 19), (20, 21), 64),
]
# of a distance: from float16 maps that the masks' grid rounds once more, and from float32
TOLERANCES = {np.float32: 1e-5, np.float16: 2e-3}


def on(device, *arrays):
    return [DeviceArray.of(device, each) for each in arrays]


def mask(seed, *shape):
    return np.random.default_rng(seed).random(shape) < 0.4


def separated(distances):
    """Which rows' nearest is nearest by more than rounding can hide."""
    lowest = np.sort(distances, axis=1)[:, :2]
    return np.ptp(lowest, axis=1) > 1e-3 if lowest.shape[1] > 1 else np.ones(len(lowest), bool)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_neighbours_equal_the_reference(device, shape, dtype):
    (h, w), (rows, columns), channels = shape
    a, b = (descriptors(n, s, channels, dtype=dtype) for n, s in enumerate((h * w, rows * columns)))
    found = neighbours(*on(device, a, b)).numpy()
    truth = reference.distances(a, b)
    forward, backward = separated(truth), separated(truth.T)
    assert found.forward[forward].tolist() == truth.argmin(axis=1)[forward].tolist()
    assert found.backward[backward].tolist() == truth.argmin(axis=0)[backward].tolist()
    np.testing.assert_allclose(found.distance, truth.min(axis=1), atol=1e-6)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_mutual_distance_equals_the_reference(device, shape, dtype):
    a_grid, b_grid, channels = shape
    a = descriptors(2, *a_grid, channels, dtype=dtype)
    b = descriptors(3, *b_grid, channels, dtype=dtype)
    found = mutual_distance(*on(device, a, b))
    truth = reference.mutual_distance(a.reshape(-1, channels), b.reshape(-1, channels))
    assert found == pytest.approx(truth, abs=1e-5)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_masked_distance_equals_the_reference(device, shape, dtype):
    a_grid, b_grid, channels = shape
    a = descriptors(4, *a_grid, channels, dtype=dtype)
    b = descriptors(5, *b_grid, channels, dtype=dtype)
    for grid in ((6, 9), (2, 3)):
        masks = mask(6, *grid), mask(7, *grid)
        arrays = on(device, a, b, *[each.astype(np.uint8) for each in masks])
        truth = reference.masked_distance(a, b, *masks)
        assert masked_distance(*arrays) == pytest.approx(truth, abs=TOLERANCES[dtype])


def test_distances_are_those_of_the_pipeline(device):
    """Features of two photographs of different shape, and masks in their pixels."""
    maps = []
    for number, (width, height) in enumerate(((60, 40), (50, 70))):
        frame = Frame.fit("letterbox", 32, width, height)
        maps.append(FeatureMap(descriptors(8 + number, 8, 8, 24), frame, "test"))
    arrays = on(device, *[each.descriptors for each in maps])
    truth = instance_distance(*maps, None)
    assert mutual_distance(*arrays) == pytest.approx(truth, abs=1e-5)

    masks = mask(20, 40, 60), mask(21, 70, 50)
    on_grid = [
        _on_grid(each, map_.grid.frame).astype(np.uint8)
        for each, map_ in zip(masks, maps, strict=True)
    ]
    truth = instance_distance(*maps, masks)
    assert masked_distance(*arrays, *on(device, *on_grid)) == pytest.approx(truth, abs=1e-5)


def test_an_empty_mask_is_infinitely_far(device):
    a, b = descriptors(10, 4, 5, 16), descriptors(11, 3, 3, 16)
    some, none = np.ones((6, 6), np.uint8), np.zeros((6, 6), np.uint8)
    for masks in ((some, none), (none, some), (none, none)):
        assert masked_distance(*on(device, a, b, *masks)) == np.inf


@pytest.mark.parametrize("shape", [(0, 5), (5, 0)])
def test_masks_without_cells_are_infinitely_far(device, shape):
    a, none = descriptors(10, 4, 5, 16), np.zeros(shape, np.uint8)
    assert masked_distance(*on(device, a, a, none, none)) == np.inf


@pytest.mark.parametrize("grid", [(6, 6), (3, 6), (6, 2)])
def test_what_lies_beside_a_mask_does_not_matter(device, grid):
    """Where the masks' grid meets cells of the map, those beside have no share."""
    a, b = descriptors(22, 6, 6, 16), descriptors(23, *grid, 16)
    inside = np.zeros(grid, np.uint8)
    inside[: grid[0] // 2, : grid[1] // 2] = 1
    clean = masked_distance(*on(device, a, b, inside, inside))
    b[grid[0] // 2 :], b[:, grid[1] // 2 :] = np.nan, np.inf
    assert masked_distance(*on(device, a, b, inside, inside)) == clean


def test_nothing_has_no_neighbours(device):
    a, b = descriptors(24, 0, 5), descriptors(25, 6, 5)
    for found in (neighbours(*on(device, a, b)).numpy(), neighbours_on_host(a, b)):
        assert len(found.forward) == len(found.distance) == len(found.mutual) == 0
        assert found.backward.tolist() == [-1] * 6


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.ones((4, 5), np.float32), np.ones((6, 7), np.float32), "b has shape"),
        (np.ones((4, 5)), np.ones((6, 5)), "a has dtype float64"),
        (np.ones((4, 5), np.float32), np.ones((6, 5), np.float16), "b has dtype float16"),
        (np.ones((1, 4, 5), np.float32), np.ones((6, 5), np.float32), "a has shape"),
        (np.ones((4, 5), np.float32), np.ones((0, 5), np.float32), "b has no rows"),
    ],
)
def test_neighbours_of_what_does_not_fit_are_refused(device, a, b, message):
    with pytest.raises(ValueError, match=message):
        neighbours(*on(device, a, b))


def test_near_descriptors_keep_their_distance(device):
    """1e-4 apart: |a|^2 + |b|^2 - 2 a.b would leave nothing of it in float32."""
    a = descriptors(12, 1, 9, 64)
    step = np.zeros(64, np.float32)
    step[3] = 1e-4
    expected = reference.mutual_distance(a[0], (a + step)[0])
    assert mutual_distance(*on(device, a, a + step)) == pytest.approx(expected, rel=1e-3)
    assert mutual_distance(*on(device, a, a)) == 0


def test_equals_go_to_the_smaller_row(device):
    a, b = np.ones((5, 8), np.float32), np.ones((7, 8), np.float32)
    found, host = neighbours(*on(device, a, b)).numpy(), neighbours_on_host(a, b)
    assert found.forward.tolist() == host.forward.tolist() == [0] * 5
    assert found.backward.tolist() == host.backward.tolist() == [0] * 7
    assert found.mutual.tolist() == host.mutual.tolist()


@pytest.mark.parametrize("dtype", TYPES)
def test_no_order_of_threads_changes_a_bit(schedules, dtype):
    a, b = descriptors(13, 5, 7, 24, dtype=dtype), descriptors(14, 4, 9, 24, dtype=dtype)
    masks = [mask(seed, 6, 6).astype(np.uint8) for seed in (15, 16)]
    results = [
        (mutual_distance(*on(each, a, b)), masked_distance(*on(each, a, b, *masks)))
        for each in schedules
    ]
    assert len(set(results)) == 1


@pytest.mark.parametrize("dtype", TYPES)
def test_nothing_races_or_is_undefined(checked, dtype):
    a, b = descriptors(13, 5, 7, 5, dtype=dtype), descriptors(14, 4, 9, 5, dtype=dtype)
    truth = reference.mutual_distance(a.reshape(-1, 5), b.reshape(-1, 5))
    assert mutual_distance(*on(checked, a, b)) == pytest.approx(truth, abs=1e-4)
    masks = mask(15, 6, 6), mask(16, 6, 6)
    truth = reference.masked_distance(a, b, *masks)
    arrays = on(checked, a, b, *[each.astype(np.uint8) for each in masks])
    assert masked_distance(*arrays) == pytest.approx(truth, abs=TOLERANCES[dtype])


@pytest.mark.parametrize("grid", [(1, 1), (3, 7), (64, 64), (5, 2)])
def test_resizing_equals_the_reference(device, grid):
    maps = descriptors(17, 5, 3, 300)
    truth = np.moveaxis(reference.resized(np.moveaxis(maps, 2, 0), grid), 0, 2)
    [array] = on(device, maps)
    np.testing.assert_allclose(resized(array, grid).numpy(), truth, atol=1e-6)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("spoiled", [0, 1])
def test_values_that_are_not_finite_are_refused(device, spoiled, bad, dtype):
    maps = [descriptors(18, 3, 5, 24, dtype=dtype), descriptors(19, 6, 2, 24, dtype=dtype)]
    maps[spoiled][1, 1, 7] = bad
    everywhere = np.ones((4, 4), np.uint8)
    with pytest.raises(ValueError, match="NaN or infinite"):
        mutual_distance(*on(device, *maps))
    with pytest.raises(ValueError, match="NaN or infinite"):
        masked_distance(*on(device, *maps, everywhere, everywhere))
    flat = [each.reshape(-1, 24) for each in maps]
    with pytest.raises(ValueError, match="NaN or infinite"):
        neighbours(*on(device, *flat)).numpy()


@pytest.mark.parametrize(
    ("a", "b", "masks", "message"),
    [
        ((2, 2, 8), (2, 2, 9), ((4, 4), (4, 4)), "b has shape"),
        ((2, 8), (2, 2, 8), ((4, 4), (4, 4)), "a has shape"),
        ((2, 2, 8), (0, 2, 8), ((4, 4), (4, 4)), "must not be empty"),
        ((2, 2, 8), (2, 2, 8), ((4, 4), (4, 5)), "inside_b has shape"),
        ((2, 2, 8), (2, 2, 8), ((16,), (16,)), "inside_a has shape"),
    ],
)
def test_what_does_not_fit_is_refused(device, a, b, masks, message):
    maps = [np.ones(shape, np.float32) for shape in (a, b)]
    with pytest.raises(ValueError, match=message):
        masked_distance(*on(device, *maps, *[np.ones(shape, np.uint8) for shape in masks]))
