"""Sampling and the nearest rows on a device, against the float64 reference."""

from __future__ import annotations

import numpy as np
import pytest

from geoaware.kernels import reference, unit
from geoaware.kernels.cuda import similarity as module
from geoaware.kernels.cuda.arrays import DeviceArray
from geoaware.kernels.cuda.descriptors import sample
from geoaware.kernels.cuda.descriptors import unit as unit_on_device
from geoaware.kernels.cuda.device import Device
from geoaware.kernels.cuda.similarity import both_ways, inverse_norms, nearest, nearest_keys
from geoaware.kernels.similarity import sample as sample_on_host
from tests.cuda_on_host.host_device import HostDevice, HostKernel

TYPES = [np.float32, np.float16]

# Error of a similarity of unit rows: of sums in float32, and of rounding a query to a half as well.
TOLERANCE = {np.float32: 1e-6, np.float16: 2**-11}

# Queries, target rows, channels.
FEW = [
    (1, 1, 5), (1, 3, 256), (12, 31, 384), (12, 3599, 256), (61, 100, 64), (16, 33, 8),
    (17, 65, 1000), (64, 61, 3968), (65, 32, 768),
]  # fmt: skip
DENSE = [(1, 1, 5), (3, 31, 64), (65, 129, 384), (128, 128, 72), (130, 260, 31), (61, 64, 3968)]


def rows(seed: int, count: int, channels: int, dtype: type = np.float32) -> np.ndarray:
    """Rows of many norms, some alike."""
    random = np.random.default_rng(seed)
    made = random.standard_normal((count, channels)) * random.uniform(0.1, 5, (count, 1))
    return made.astype(dtype)


def put(device: Device, *arrays: np.ndarray | None) -> list[DeviceArray | None]:
    return [None if each is None else DeviceArray.of(device, each) for each in arrays]


def rows_of(keys: DeviceArray) -> np.ndarray:
    """Rows that keys name, -1 for none."""
    values = keys.numpy()
    found = (np.uint64(0xFFFFFFFF) - (values & np.uint64(0xFFFFFFFF))).astype(np.int64)
    return np.where(values == 0, -1, found)


def assert_nearest(indices: np.ndarray, similarity: np.ndarray, truth: np.ndarray, error: float):
    """Each is as high as its place in the order asks, its own, and taken once."""
    count = indices.shape[1]
    ordered = -np.sort(-truth, axis=1)[:, :count]
    np.testing.assert_allclose(similarity, ordered, atol=error)
    np.testing.assert_allclose(np.take_along_axis(truth, indices, axis=1), ordered, atol=2 * error)
    assert all(len(set(each)) == count for each in indices.tolist())


def assert_finds(device: Device, shape: tuple[int, int, int], dtype: type) -> None:
    queries, target = rows(0, shape[0], shape[2], dtype), rows(1, shape[1], shape[2], dtype)
    count = min(2, shape[1])
    indices, similarity = nearest(*put(device, queries, target), count=count, unit=False)
    assert indices.dtype == np.int32
    truth = reference.cosine_similarity(queries, target[None])[:, 0]
    assert_nearest(indices.numpy(), similarity.numpy(), truth, TOLERANCE[dtype])


@pytest.fixture
def always_dense(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FEW", {"f32": 0, "f16": 0})


@pytest.fixture(params=["few", "dense"])
def path(request: pytest.FixtureRequest) -> str:
    if request.param == "dense":
        request.getfixturevalue("always_dense")
    return request.param


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", FEW)
def test_few_queries(device: Device, shape: tuple[int, int, int], dtype: type):
    assert_finds(device, shape, dtype)


@pytest.mark.usefixtures("always_dense")
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", DENSE)
def test_many_queries(device: Device, shape: tuple[int, int, int], dtype: type):
    assert_finds(device, shape, dtype)


@pytest.mark.parametrize("dtype", TYPES)
def test_as_many_queries_as_take_the_other_path(device: Device, dtype: type):
    few = module.FEW["f32" if dtype is np.float32 else "f16"]
    for count in (few, few + 1):
        assert_finds(device, (count, 40, 8), dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("shape", [(1, 1, 5), (61, 131, 40), (130, 64, 72)])
def test_both_ways_with_masks(
    device: Device, shape: tuple[int, int, int], metric: str, dtype: type
):
    random = np.random.default_rng(2)
    a, b = rows(0, shape[0], shape[2], dtype), rows(1, shape[1], shape[2], dtype)
    if metric == "cosine":
        score = reference.cosine_similarity(a, b[None])[:, 0]
    else:
        score = -reference.distances(a, b)
    for inside_a, inside_b in ((None, None), (random.random(len(a)) < 0.6, np.arange(len(b)) > 2)):
        allowed = score.copy()
        masks = [None if each is None else each.astype(np.uint8) for each in (inside_a, inside_b)]
        if inside_a is not None:
            allowed[~inside_a] = -np.inf
            allowed[:, ~inside_b] = -np.inf
        found = both_ways(*put(device, a, b), metric, *put(device, *masks))
        for keys, scores in zip(found, (allowed, allowed.T), strict=True):
            best, chosen = scores.max(axis=1), rows_of(keys)
            there = np.isfinite(best)
            np.testing.assert_array_equal(chosen >= 0, there)
            taken = scores[there, chosen[there]]
            np.testing.assert_allclose(taken, best[there], rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("dtype", TYPES)
def test_equals_by_the_smaller_index(device: Device, path: str, dtype: type):
    """Three descriptors, over and over: sums of a few ones are exact in any order."""
    patterns = np.eye(16)[:3] + np.eye(16)[[3, 3, 4]]
    numbers = np.random.default_rng(3).integers(0, 3, 300)
    target, queries = patterns[numbers].astype(dtype), patterns.astype(dtype)
    indices, _ = nearest(*put(device, queries, target), count=4)
    truth = np.argsort(-(queries @ target.T).astype(float), axis=1, kind="stable")[:, :4]
    np.testing.assert_array_equal(indices.numpy(), truth)
    forward, backward = both_ways(*put(device, target, queries), "euclidean")
    np.testing.assert_array_equal(rows_of(forward), numbers)
    np.testing.assert_array_equal(rows_of(backward), [(numbers == n).argmax() for n in range(3)])


@pytest.mark.parametrize("dtype", TYPES)
def test_zero_descriptors_are_like_nothing(device: Device, path: str, dtype: type):
    target = np.zeros((40, 8), dtype)
    target[5, 0], target[7] = -2, 1
    queries = np.zeros((3, 8), dtype)
    queries[1, 0] = 3
    indices, similarity = nearest(*put(device, queries, target), unit=False)
    assert indices.numpy()[:, 0].tolist() == [0, 7, 0]
    np.testing.assert_allclose(similarity.numpy()[:, 0], [0, 8**-0.5, 0], rtol=1e-3)
    indices, similarity = nearest(*put(device, queries[1:2], -target[:7]), count=7, unit=False)
    assert indices.numpy().tolist() == [[5, 0, 1, 2, 3, 4, 6]]


@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", TYPES)
def test_what_is_not_finite_shows(device: Device, path: str, dtype: type, bad: float):
    queries, target = rows(0, 5, 24, dtype), rows(1, 70, 24, dtype)
    for normal in (True, False):
        spoiled = queries.copy()
        spoiled[3, 20] = bad
        indices, similarity = nearest(*put(device, spoiled, target), count=2, unit=normal)
        expected = np.repeat([[False], [False], [False], [True], [False]], 2, axis=1)
        np.testing.assert_array_equal(np.isnan(similarity.numpy()), expected)
        assert indices.numpy()[3].tolist() == [0, 0]  # a row that is there
        spoiled = target.copy()
        spoiled[66, 1] = bad
        indices, similarity = nearest(*put(device, queries, spoiled), unit=normal)
        assert np.isnan(similarity.numpy()).all()
        assert (indices.numpy() == 66).all()


@pytest.mark.parametrize("bad", [np.nan, -np.inf])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_what_is_not_finite_shows_both_ways_unless_left_out(
    device: Device, metric: str, bad: float
):
    a, b = rows(0, 70, 24), rows(1, 90, 24)
    a[3, 7] = bad
    inside = np.ones(70, np.uint8)
    nan = np.float32("nan").view(np.uint32)
    forward, backward = both_ways(*put(device, a, b), metric)
    high = [each.numpy() >> np.uint64(32) for each in (forward, backward)]
    assert (high[0] > (nan | 1 << 31)).nonzero()[0].tolist() == [3]
    assert (high[1] > (nan | 1 << 31)).all()
    assert (rows_of(backward) == 3).all()
    inside[3] = 0
    forward, backward = both_ways(*put(device, a, b), metric, *put(device, inside))
    assert rows_of(forward)[3] == -1
    assert (rows_of(backward) != 3).all()
    assert (backward.numpy() >> np.uint64(32) < nan | 1 << 31).all()


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_nobody_nearest_to_what_is_not_finite_is_left_out(device: Device, metric: str):
    """Where a whole descriptor is NaN, so is its product with the zeros of those left out."""
    a, b = rows(0, 3, 24), rows(1, 5, 24)
    a[1], b[2] = np.nan, np.nan
    inside_a, inside_b = np.uint8([0, 1, 1]), np.uint8([0, 0, 0, 1, 1])
    forward, backward = both_ways(*put(device, a, b), metric, *put(device, inside_a, inside_b))
    assert rows_of(forward)[:2].tolist() == [-1, 3]
    assert rows_of(backward).tolist() == [-1, -1, -1, 1, 1]


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e18, 1e30])
def test_norms_beyond_what_squares_hold(device: Device, scale: float):
    target = rows(1, 40, 12) * np.float32(scale)
    target[4] = 0
    norms = np.linalg.norm(target.astype(float), axis=1)
    truth = np.divide(1, norms, out=np.zeros(40), where=norms > 0)
    [on_device] = put(device, target)
    np.testing.assert_allclose(inverse_norms(on_device).numpy(), truth, rtol=1e-5)
    made = unit_on_device(on_device.reshape(8, 5, 12)).numpy()
    np.testing.assert_allclose(made.reshape(40, 12), reference.unit(target), atol=1e-6)


def test_rows_too_short_for_an_inverse_count_as_zero(device: Device, path: str):
    target, queries = np.zeros((3, 8), np.float32), np.zeros((2, 8), np.float32)
    target[0, 0], target[1, 1], queries[:, 1] = 1e-40, 0.5, 1
    queries[1] = -queries[0]
    np.testing.assert_array_equal(inverse_norms(*put(device, target)).numpy(), [0, 2, 0])
    indices, similarity = nearest(*put(device, queries, target), count=3, unit=False)
    assert indices.numpy().tolist() == [[1, 0, 2], [0, 2, 1]]
    assert similarity.numpy().tolist() == [[1, 0, 0], [0, 0, -1]]


@pytest.mark.parametrize("nan", [np.float32(np.nan), -np.float32(np.nan)])
def test_one_key_for_every_nan(device: Device, nan: np.float32):
    queries, target = rows(0, 2, 8), rows(1, 3, 8)
    keys = nearest_keys(
        *put(device, queries, target),
        target_inverse_norms=DeviceArray.of(device, np.array([1, nan, 1], np.float32)),
    )
    assert keys.numpy().tolist() == [0xFFFFFFFF_FFFFFFFE] * 2


def test_norms_of_what_is_not_finite(device: Device):
    target = rows(1, 4, 12)
    target[0, 3], target[2, 11] = np.nan, -np.inf
    found = inverse_norms(*put(device, target)).numpy()
    assert np.isnan(found).tolist() == [True, False, True, False]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("how", ["nearest", "bilinear"])
@pytest.mark.parametrize("shape", [(1, 1, 5), (3, 7, 256), (9, 4, 771)])
def test_places_on_the_grid(device: Device, shape: tuple[int, int, int], how: str, dtype: type):
    random = np.random.default_rng(4)
    features = random.standard_normal(shape).astype(dtype)
    edge = [[0, 0], [shape[1] - 1, shape[0] - 1], [-5, 99], [0.5, 1.5], [0.25, 0]]
    cells = np.concatenate([np.float32(edge), random.uniform(-1, 8, (8, 2)).astype(np.float32)])
    found = sample(*put(device, features, cells), how).numpy()
    truth = reference.sample(features, cells, how)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, truth, atol=2e-6 if dtype is np.float32 else 5e-4)


def test_halves_go_up_and_what_is_less_does_not(device: Device):
    features = np.eye(4, dtype=np.float32)[None]
    below = np.nextafter(np.float32([0.5, 1.5, 2.5]), np.float32(0))
    places = np.float32([[x, 0] for x in [*below, 0.5, 1.5, 2.5, -0.5]])
    expected = [0, 1, 2, 1, 2, 3, 0]
    on_device = sample(*put(device, features, places)).numpy()
    for found in (
        on_device,
        sample_on_host(features, places),
        reference.sample(features, places, "nearest"),
    ):
        assert found.argmax(axis=1).tolist() == expected


def test_a_place_that_is_not_finite_shows_and_its_neighbours_stay(device: Device):
    features = np.ones((2, 2, 40), np.float32)
    features[0, 1, 33], features[1, 0] = np.inf, 0
    cells = np.float32([[0, 0], [0.5, 0], [np.nan, 0], [0, 1], [0, np.inf]])
    for how in ("nearest", "bilinear"):
        found = np.isnan(sample(*put(device, features, cells), how).numpy())
        assert found.all(axis=1).tolist() == found.any(axis=1).tolist()
        assert found.any(axis=1).tolist() == [False, True, True, False, False]


def test_no_queries_find_nothing(device: Device):
    none, target = rows(0, 0, 8), rows(1, 4, 8)
    indices, similarity = nearest(*put(device, none, target), count=2)
    assert (indices.shape, similarity.shape) == ((0, 2), (0, 2))
    assert nearest_keys(*put(device, none, target)).shape == (0,)
    assert sample(*put(device, target[None], np.zeros((0, 2), np.float32))).shape == (0, 8)
    assert unit_on_device(*put(device, none)).shape == (0, 8)
    forward, backward = both_ways(*put(device, none, target))
    assert forward.shape == (0,)
    assert rows_of(backward).tolist() == [-1] * 4


def test_arguments_that_do_not_fit_are_refused(device: Device):
    a, b, half, cells = put(
        device, rows(0, 3, 8), rows(1, 4, 9), rows(1, 4, 8, np.float16), np.zeros((2, 2))
    )
    empty, whole = put(device, rows(0, 0, 8), np.zeros((3, 8), np.int32))
    for message, call in {
        r"target has shape \(4, 9\); it must be \(any, 8\)": lambda: nearest(a, b),
        "target has dtype float16; it must be float32": lambda: nearest_keys(a, half),
        "queries has dtype int32": lambda: nearest(whole, a),
        "target has no rows": lambda: nearest_keys(a, empty),
        "count 4 must lie between 1 and the 3": lambda: nearest(a, a, count=4),
        "below has shape": lambda: nearest_keys(a, a, below=empty),
        "target_inverse_norms has shape": lambda: nearest_keys(a, a, target_inverse_norms=a),
        "b has no rows": lambda: both_ways(a, empty),
        "metric is 'other'": lambda: both_ways(a, a, "other"),
        "inside_b has dtype float32": lambda: both_ways(a, a, inside_b=inverse_norms(a)),
        "cells has dtype float64": lambda: sample(a.reshape(1, 3, 8), cells),
        "features has shape": lambda: sample(a, cells),
        "the grid has no cells": lambda: sample(
            empty.reshape(0, 1, 8), DeviceArray.of(device, np.zeros((1, 2), np.float32))
        ),
        "how is 'cubic'": lambda: sample(
            a.reshape(1, 3, 8), DeviceArray.of(device, np.zeros((1, 2), np.float32)), "cubic"
        ),
    }.items():
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("dtype", TYPES)
def test_every_schedule_finds_the_same(
    schedules: list[Device], monkeypatch: pytest.MonkeyPatch, dtype: type
):
    a, b = rows(0, 19, 200, dtype), rows(1, 131, 200, dtype)
    cells = np.random.default_rng(5).uniform(0, 130, (5, 2)).astype(np.float32)
    results = []
    for dense in (False, True):
        if dense:
            monkeypatch.setattr(module, "FEW", {"f32": 0, "f16": 0})
        for device in schedules:
            left, right, places = put(device, a, b, cells)
            found = [
                *nearest(left, right, count=2, unit=False),
                *both_ways(left, right),
                sample(right.reshape(1, 131, 200), places, "bilinear"),
            ]
            results.append([each.numpy() for each in found])
    for path in (results[:6], results[6:]):
        for each in path[1:]:
            for one, other in zip(path[0], each, strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", TYPES)
def test_no_race_and_nothing_undefined(
    checked: Device, monkeypatch: pytest.MonkeyPatch, dtype: type
):
    assert_finds(checked, (3, 40, 72), dtype)
    monkeypatch.setattr(module, "FEW", {"f32": 0, "f16": 0})
    assert_finds(checked, (3, 40, 72), dtype)
    both_ways(*put(checked, rows(0, 5, 40, dtype), rows(1, 7, 40, dtype)))


class SizesAlone(HostDevice):
    """A device that checks the sizes of a launch, as CUDA does, and runs nothing."""

    def kernel(self, file: str, name: str) -> HostKernel:
        kernel = super().kernel(file, name)
        kernel.launch = lambda grid, block, arguments, shared_bytes=0: kernel._check_sizes(
            grid, block, shared_bytes, 1024
        )
        return kernel


def test_a_target_of_more_rows_than_a_grid_is_high(always_dense: None):
    device = SizesAlone()
    few, many = (DeviceArray(device, 16, (n, 4), np.dtype(np.float32), None) for n in (1, 2**24))
    assert nearest_keys(few, many).shape == (1,)
    with pytest.raises(ValueError, match="16777216 rows; at most 8388480"):
        nearest_keys(many, few)


def test_the_host_agrees(device: Device):
    """The numpy counterpart, on unit rows."""
    from geoaware.kernels.similarity import nearest as on_host

    queries, target = unit(rows(0, 9, 32)), unit(rows(1, 50, 32))
    indices, similarity = nearest(*put(device, queries, target), count=3)
    host_indices, host_similarity = on_host(queries, target, 3)
    np.testing.assert_array_equal(indices.numpy(), host_indices)
    np.testing.assert_allclose(similarity.numpy(), host_similarity, atol=1e-6)
