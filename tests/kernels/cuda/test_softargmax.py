"""Expected cells on the device, against the float64 reference."""

from __future__ import annotations

import numpy as np
import pytest

from geoaware.kernels import SoftArgmax, reference, unit
from geoaware.kernels.cuda import softargmax
from geoaware.kernels.cuda.arrays import DeviceArray
from geoaware.kernels.cuda.softargmax import expected_cells, peak_cells
from tests.cuda_on_host.host_device import HostDevice

TYPES = (np.float32, np.float16)

# height, width, channels, queries
SHAPES = [
    (1, 1, 256, 1),
    (1, 31, 5, 12),
    (3, 3, 768, 61),
    (31, 3, 384, 65),
    (9, 7, 3968, 3),
    (60, 60, 256, 12),
    (61, 59, 384, 2),
    (9, 11, 64, 64),
]
DENSE_SHAPES = [
    (1, 1, 5, 1),
    (3, 31, 256, 12),
    (7, 9, 3968, 3),
    (61, 3, 40, 129),
    (61, 59, 64, 12),
]

# setting, tolerance in cells: what similarities good to 2e-7 leave of a weight exp(s / T)
SETTINGS = [
    (SoftArgmax(7, 0.05, "zeroed"), 2e-4),
    (SoftArgmax(0, 0.05, "zeroed"), 5e-4),
    (SoftArgmax(-3, 0.05, "zeroed"), 5e-4),
    (SoftArgmax(15, 0.05, "cropped"), 2e-4),
]
RARE_SETTINGS = [
    (SoftArgmax(1, 0.05, "cropped"), 0),
    (SoftArgmax(100, 0.05, "zeroed"), 5e-4),
    (SoftArgmax(10**12 + 1, 0.05, "cropped"), 5e-4),
    (SoftArgmax(-(10**12), 0.05, "zeroed"), 5e-4),
    (SoftArgmax(3, 1e-6, "zeroed"), 1e-3),
    (SoftArgmax(3, 1e6, "zeroed"), 2e-4),
    (SoftArgmax(5, 1e6, "cropped"), 1e-5),
    (SoftArgmax(0, 1e6, "zeroed"), 2e-4),
    (SoftArgmax(2, 0.005, "zeroed"), 1e-3),
]


class Recorder(HostDevice):
    """A device that remembers which kernels it was asked for."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def kernel(self, file, name):
        self.asked.append(name)
        return super().kernel(file, name)


def descriptors(seed, *shape, dtype=np.float32):
    return unit(np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


def similarities(queries, target):
    """Dot products (K, H, W) in float64."""
    return np.einsum("kc,hwc->khw", queries.astype(np.float64), target.astype(np.float64))


def keys_of(similarity):
    """Keys of the most similar cells, by their definition: bits that order, index inverted."""
    flat = similarity.reshape(len(similarity), -1)
    peaks = flat.argmax(axis=1)
    bits = (flat[np.arange(len(flat)), peaks].astype(np.float32) + np.float32(0)).view(np.uint32)
    ordered = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31)).astype(np.uint64)
    return (ordered << np.uint64(32)) | (np.uint64(2**32 - 1) - peaks.astype(np.uint64))


def expected(device, queries, target, setting, keys=None):
    keys = keys_of(similarities(queries, target)) if keys is None else keys
    arrays = [DeviceArray.of(device, each) for each in (queries, target, keys)]
    return expected_cells(*arrays, setting)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_the_reference(device, shape, dtype):
    height, width, channels, count = shape
    queries = descriptors(0, count, channels, dtype=dtype)
    target = descriptors(1, height, width, channels, dtype=dtype)
    similarity = similarities(queries, target)
    for setting, tolerance in SETTINGS:
        found = expected(device, queries, target, setting).numpy()
        truth = reference.expected_cells(similarity, setting)
        np.testing.assert_allclose(found.cells, truth, atol=tolerance, err_msg=str(setting))
        assert found.peaks.tolist() == similarity.reshape(count, -1).argmax(axis=1).tolist()
        np.testing.assert_allclose(found.similarity, similarity.max(axis=(1, 2)), rtol=1e-6)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("setting", "tolerance"), RARE_SETTINGS, ids=str)
def test_every_setting_equals_the_reference(device, setting, tolerance, dtype):
    queries, target = descriptors(2, 5, 40, dtype=dtype), descriptors(3, 13, 11, 40, dtype=dtype)
    truth = reference.expected_cells(similarities(queries, target), setting)
    found = expected(device, queries, target, setting).numpy()
    np.testing.assert_allclose(found.cells, truth, atol=tolerance)


@pytest.fixture
def by_tiles(monkeypatch):
    """However few queries there are and however small their windows."""
    monkeypatch.setattr(softargmax, "DENSE_PRODUCTS", 0)
    monkeypatch.setattr(softargmax, "DENSE_GAIN", dict.fromkeys(softargmax.DENSE_GAIN, 10**9))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", DENSE_SHAPES, ids=str)
def test_tiles_give_the_same(device, by_tiles, shape, dtype):
    test_equals_the_reference(device, shape, dtype)


@pytest.mark.parametrize("dtype", TYPES)
def test_every_setting_by_tiles(device, by_tiles, dtype):
    for setting, tolerance in RARE_SETTINGS:
        test_every_setting_equals_the_reference(device, setting, tolerance, dtype)
    test_similarities_all_negative(device)
    for temperature in (1e-6, 0.05, 1e6):
        test_two_equal_cells_share(device, temperature)


@pytest.mark.parametrize("dtype", TYPES)
def test_many_queries_with_large_windows_go_by_tiles(dtype):
    device = Recorder()
    target = descriptors(20, 16, 16, 16, dtype=dtype)
    for count, window, kernels in (
        (196, 0, ["tiles", "merged"]),
        (12, 0, ["windows", "merged"]),
        (196, 1, ["windows", "merged"]),
    ):
        device.asked.clear()
        queries = descriptors(21, count, 16, dtype=dtype)
        setting = SoftArgmax(window, 0.05, "zeroed")
        found = expected(device, queries, target, setting).numpy()
        assert [name.split("_")[0] for name in device.asked] == kernels
        truth = reference.expected_cells(similarities(queries, target), setting)
        np.testing.assert_allclose(found.cells, truth, atol=5e-4)


@pytest.mark.parametrize("multiprocessors", [1, 5, 132])
def test_a_window_split_among_blocks_gives_the_same(multiprocessors):
    """However many blocks there are for a query."""
    device = HostDevice()
    device.multiprocessors = multiprocessors
    target = descriptors(4, 17, 19, 24)
    for count in (1, 3, 12):
        queries = descriptors(count, count, 24)
        similarity = similarities(queries, target)
        for setting, tolerance in SETTINGS:
            found = expected(device, queries, target, setting).numpy()
            truth = reference.expected_cells(similarity, setting)
            np.testing.assert_allclose(found.cells, truth, atol=tolerance)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("tiles", [False, True])
def test_no_order_of_threads_changes_a_bit(schedules, dtype, tiles, request):
    if tiles:
        request.getfixturevalue("by_tiles")
    target = descriptors(5, 7, 9, 24, dtype=dtype)
    for count in (1, 3):
        queries = descriptors(6, count, 24, dtype=dtype)
        for setting, _ in SETTINGS:
            cells = [expected(each, queries, target, setting).numpy().cells for each in schedules]
            for other in cells[1:]:
                np.testing.assert_array_equal(other, cells[0])


@pytest.mark.parametrize("tiles", [False, True])
@pytest.mark.parametrize("dtype", TYPES)
def test_nothing_races_or_is_undefined(checked, dtype, tiles, request):
    if tiles:
        request.getfixturevalue("by_tiles")
    target = descriptors(5, 7, 9, 5, dtype=dtype)
    for count in (1, 3):
        queries = descriptors(6, count, 5, dtype=dtype)
        for setting, tolerance in SETTINGS:
            found = expected(checked, queries, target, setting).numpy()
            truth = reference.expected_cells(similarities(queries, target), setting)
            np.testing.assert_allclose(found.cells, truth, atol=5 * tolerance)


@pytest.mark.parametrize("temperature", [1e-6, 0.05, 1e6])
def test_two_equal_cells_share(device, temperature):
    """Two cells alike, the others their opposite: the first is the peak, the answer between."""
    query = descriptors(7, 1, 768)
    target = np.broadcast_to(-query[0], (5, 8, 768)).copy()
    target[2, 3] = target[3, 6] = query[0]
    found = expected(device, query, target, SoftArgmax(9, temperature, "cropped")).numpy()
    assert found.peaks.tolist() == [2 * 8 + 3]
    if temperature < 1:
        np.testing.assert_allclose(found.cells, [[4.5, 2.5]], atol=1e-6)
    truth = reference.expected_cells(
        similarities(query, target), SoftArgmax(9, temperature, "cropped")
    )
    np.testing.assert_allclose(found.cells, truth, atol=1e-4)


def test_similarities_all_negative(device):
    """What is zeroed then weighs more than the window does."""
    angles = np.pi * np.linspace(0.75, 1, 35)
    target = np.stack([np.cos(angles), np.sin(angles)], axis=1).reshape(5, 7, 2)
    queries, target = np.array([[1, 0]], np.float32), target.astype(np.float32)
    for temperature in (0.005, 0.05, 1.0):
        for window in (0, 1, 3, 9, -2):
            setting = SoftArgmax(window, temperature, "zeroed")
            truth = reference.expected_cells(similarities(queries, target), setting)
            found = expected(device, queries, target, setting).numpy()
            np.testing.assert_allclose(found.cells, truth, atol=1e-3, err_msg=str(setting))


@pytest.mark.parametrize("width", [1, 7])
def test_peaks_alone(device, width):
    similarity = similarities(descriptors(8, 300, 4), descriptors(9, 6, width, 4))
    found = peak_cells(DeviceArray.of(device, keys_of(similarity)), width).numpy()
    peaks = similarity.reshape(300, -1).argmax(axis=1)
    assert found.peaks.tolist() == peaks.tolist()
    np.testing.assert_array_equal(found.cells, np.stack([peaks % width, peaks // width], axis=1))
    np.testing.assert_allclose(found.similarity, similarity.max(axis=(1, 2)), rtol=1e-6)


def test_a_query_that_nothing_was_found_for(device):
    queries, target = descriptors(10, 3, 8), descriptors(11, 4, 4, 8)
    keys = keys_of(similarities(queries, target))
    keys[1] = 0
    for found in (
        expected(device, queries, target, SoftArgmax(1, 0.1, "zeroed"), keys),
        peak_cells(DeviceArray.of(device, keys), 4),
    ):
        assert (found.peaks.numpy() < 0).tolist() == [False, True, False]
        for array in (found.similarity.numpy(), found.cells.numpy()[:, 0]):
            assert np.isnan(array).tolist() == [False, True, False]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_in_the_window_that_are_not_finite_are_refused(device, bad, dtype):
    queries, target = descriptors(12, 1, 16, dtype=dtype), descriptors(13, 5, 5, 16, dtype=dtype)
    keys = keys_of(similarities(queries, target))
    target[:, :, 3] = bad
    for setting in (SoftArgmax(1, 0.1, "zeroed"), SoftArgmax(3, 0.1, "cropped")):
        with pytest.raises(ValueError, match="NaN or infinite"):
            expected(device, queries, target, setting, keys).numpy()


def test_no_queries_give_no_cells(device):
    target = descriptors(14, 3, 3, 8)
    empty = expected(
        device, np.empty((0, 8), np.float32), target, SoftArgmax(3, 0.1, "zeroed"),
        np.empty(0, np.uint64),
    ).numpy()  # fmt: skip
    assert empty.cells.shape == (0, 2)
    assert len(empty.peaks) == len(empty.similarity) == 0


@pytest.mark.parametrize(
    ("queries", "target", "keys", "message"),
    [
        (np.ones((2, 3)), np.ones((2, 2, 3)), np.ones(2, np.uint64), "float32 or float16"),
        (np.ones((2, 3), np.float32), np.ones((2, 2, 4), np.float32), None, "target has shape"),
        (np.ones((2, 3), np.float32), np.ones((2, 2, 3), np.float16), None, "target has dtype"),
        (np.ones((2, 3), np.float32), np.ones((2, 0, 3), np.float32), None, "no cells"),
        (
            np.ones((2, 3), np.float32), np.ones((2, 2, 3), np.float32), np.ones(3, np.uint64),
            "keys has shape",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(device, queries, target, keys, message):
    keys = np.ones(len(queries), np.uint64) if keys is None else keys
    with pytest.raises(ValueError, match=message):
        expected(device, queries, target, SoftArgmax(3, 0.1, "zeroed"), keys)
