"""Matching on the device, against the float64 reference and the host's kernels."""

from __future__ import annotations

import numpy as np
import pytest

from geoaware.kernels import SoftArgmax, reference
from geoaware.kernels import match as match_on_host
from geoaware.kernels.cuda.arrays import DeviceArray
from geoaware.kernels.cuda.matching import match, match_points

from .test_softargmax import TYPES, Recorder, descriptors, similarities

# height and width of the source, the target's, channels, queries, share of them that must agree
SHAPES = [
    ((1, 1), (1, 1), 5, 1),
    ((3, 1), (1, 31), 256, 12),
    ((31, 3), (3, 3), 3968, 3),
    ((7, 9), (12, 5), 384, 61),
    ((13, 8), (9, 14), 5, 64),
    ((6, 6), (7, 4), 768, 65),
    ((20, 31), (60, 60), 384, 12),
    ((60, 60), (61, 59), 256, 12),
]
SOFT = SoftArgmax(7, 0.05, "zeroed")


def on(device, *arrays):
    return [DeviceArray.of(device, each) for each in arrays]


def cells_of(seed, grid, count):
    random = np.random.default_rng(seed)
    cells = [random.integers(0, length, count) for length in reversed(grid)]
    return np.stack(cells, axis=1).astype(np.float32)


def at(features, cells):
    x, y = cells.astype(int).T
    return features[y, x]


def separated(similarity):
    """Which queries' best cell is best by more than rounding can hide."""
    top = np.sort(similarity.reshape(len(similarity), -1), axis=1)[:, -2:]
    return np.ptp(top, axis=1) > 2e-3 if top.shape[1] > 1 else np.ones(len(top), bool)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_points_and_the_way_back_equal_the_reference(device, shape, dtype):
    source_grid, target_grid, channels, count = shape
    source = descriptors(0, *source_grid, channels, dtype=dtype)
    target = descriptors(1, *target_grid, channels, dtype=dtype)
    cells = cells_of(2, source_grid, count)
    similarity = similarities(at(source, cells), target)
    clear = separated(similarity)
    assert clear.any()
    found = match_points(*on(device, source, target, cells), SOFT)
    host = found.numpy()
    peaks = similarity.reshape(count, -1).argmax(axis=1)
    assert host.peaks[clear].tolist() == peaks[clear].tolist()
    tolerance = 1e-6 if dtype is np.float32 else 1e-3  # a sampled descriptor is normed and rounded
    np.testing.assert_allclose(host.similarity, similarity.max(axis=(1, 2)), atol=tolerance)
    truth = reference.expected_cells(similarity, SOFT)
    tolerance = 2e-4 if dtype is np.float32 else 5e-2
    np.testing.assert_allclose(host.cells[clear], truth[clear], atol=tolerance)

    rows = target.reshape(-1, channels)[host.peaks]
    back = similarities(rows, source)
    clear = separated(back)
    best = back.reshape(count, -1).argmax(axis=1)
    assert found.back.numpy()[clear].tolist() == best[clear].tolist()


@pytest.mark.parametrize("soft", [None, SOFT, SoftArgmax(15, 0.1, "cropped")])
def test_queries_equal_those_of_the_host(device, soft):
    queries, target = descriptors(3, 40, 96), descriptors(4, 17, 23, 96)
    found = match(*on(device, queries, target), soft).numpy()
    host = match_on_host(queries, target, soft)
    assert found.peaks.tolist() == host.peaks.tolist()
    np.testing.assert_allclose(found.cells, host.cells, atol=2e-4)
    np.testing.assert_allclose(found.similarity, host.similarity, atol=1e-6)
    assert found.peaks.dtype == host.peaks.dtype


@pytest.mark.parametrize("dtype", TYPES)
def test_no_order_of_threads_changes_a_bit(schedules, dtype):
    source, target = descriptors(5, 5, 7, 24, dtype=dtype), descriptors(6, 6, 3, 24, dtype=dtype)
    cells = cells_of(7, (5, 7), 13)
    results = []
    for each in schedules:
        found = match_points(*on(each, source, target, cells), SoftArgmax(2, 0.05, "zeroed"))
        arrays = (found.cells, found.peaks, found.similarity, found.back)
        results.append([array.numpy().tolist() for array in arrays])
    assert all(each == results[0] for each in results)


@pytest.mark.parametrize("dtype", TYPES)
def test_nothing_races_or_is_undefined(checked, dtype):
    source, target = descriptors(5, 5, 7, 5, dtype=dtype), descriptors(6, 6, 3, 5, dtype=dtype)
    cells = cells_of(7, (5, 7), 13)
    for soft in (None, SOFT):
        found = match_points(*on(checked, source, target, cells), soft)
        similarity = similarities(at(source, cells), target).max(axis=(1, 2))
        np.testing.assert_allclose(found.numpy().similarity, similarity, atol=1e-3)
        assert (found.back.numpy() >= 0).all()


def test_equals_go_to_the_smaller_cell(device):
    """Every cell alike: what is found is cell 0, on the way there and on the way back."""
    alike = np.ones((4, 5, 16), np.float32) / 4
    found = match_points(*on(device, alike, alike, cells_of(8, (4, 5), 6)))
    assert found.peaks.numpy().tolist() == [0] * 6
    assert found.back.numpy().tolist() == [0] * 6


def test_twelve_points_take_four_launches():
    device = Recorder()
    source, target = descriptors(9, 8, 8, 32), descriptors(10, 8, 8, 32)
    arrays = on(device, source, target, cells_of(11, (8, 8), 12))
    match_points(*arrays, SOFT)
    there, back = device.asked[:4], device.asked[4:]
    assert [name.split("_")[0] for name in there] == ["sample", "nearest", "windows", "merged"]
    assert [name.split("_")[0] for name in back] == ["gather", "nearest", "peak"]


def test_places_between_cells_are_bilinear(device):
    source, target = descriptors(12, 4, 4, 32), descriptors(13, 9, 9, 32)
    place = np.array([[1.25, 2.5]], np.float32)
    mixed = 0.5 * (0.75 * source[2, 1] + 0.25 * source[2, 2])
    mixed += 0.5 * (0.75 * source[3, 1] + 0.25 * source[3, 2])
    mixed /= np.linalg.norm(mixed)
    found = match_points(*on(device, source, target, place), SOFT, "bilinear").numpy()
    host = match_on_host(mixed[None], target, SOFT)
    np.testing.assert_allclose(found.cells, host.cells, atol=2e-4)
    np.testing.assert_allclose(found.similarity, host.similarity, atol=1e-6)


def test_no_points_give_no_matches(device):
    features = descriptors(14, 3, 3, 8)
    found = match_points(*on(device, features, features, np.empty((0, 2), np.float32)), SOFT)
    assert found.numpy().cells.shape == (0, 2)
    assert found.back.shape == (0,)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("soft", [None, SOFT])
def test_values_that_are_not_finite_are_refused(device, soft, bad, dtype):
    """Wherever they are in the target, and in an asked cell of the source."""
    source, target = descriptors(15, 3, 4, 24, dtype=dtype), descriptors(16, 30, 5, 24, dtype=dtype)
    cells = np.array([[0, 0], [3, 1]], np.float32)
    spoiled = target.copy()
    spoiled[29, 4, 7] = bad
    with pytest.raises(ValueError, match="NaN or infinite"):
        match_points(*on(device, source, spoiled, cells), soft).numpy()
    source[1, 3, 7] = bad
    with pytest.raises(ValueError, match="NaN or infinite"):
        match_points(*on(device, source, target, cells), soft).numpy()


@pytest.mark.parametrize(
    ("source", "target", "cells", "message"),
    [
        ((2, 2, 8), (2, 2, 9), (1, 2), "target has shape"),
        ((2, 2, 8), (2, 0, 8), (1, 2), "no cells"),
        ((2, 0, 8), (2, 2, 8), (1, 2), "no cells"),
        ((2, 2, 8), (2, 2, 8), (1, 3), "cells has shape"),
        ((4, 8), (2, 2, 8), (1, 2), "source has shape"),
    ],
)
def test_what_does_not_fit_is_refused(device, source, target, cells, message):
    arrays = [np.ones(shape, np.float32) for shape in (source, target, cells)]
    with pytest.raises(ValueError, match=message):
        match_points(*on(device, *arrays))
