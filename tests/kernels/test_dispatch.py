"""One function for arrays of the host and of a GPU."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from geoaware.kernels import (
    Found,
    Neighbours,
    SoftArgmax,
    match,
    nearest,
    neighbours,
    sample,
    unit,
    window_softargmax,
)
from geoaware.kernels.cuda import open as opening
from geoaware.kernels.cuda.arrays import DeviceArray
from geoaware.kernels.cuda.neighbours import NeighboursOnDevice
from geoaware.kernels.cuda.softargmax import FoundOnDevice
from tests.cuda_on_host.host_device import HostDevice

SOFT = SoftArgmax(3, 0.05, "zeroed")


class OpenedDevice(HostDevice):
    """The host as the GPU that other libraries' arrays lie on."""

    dlpack_device = (2, 0)

    def holds(self, pointer):
        return True


class ForeignArray:
    """An array as another library offers it."""

    def __init__(self, array):
        self.array = array

    @property
    def __cuda_array_interface__(self):
        return {
            "version": 2, "shape": self.array.shape, "typestr": self.array.dtype.str,
            "data": (self.array.pointer, False),
        }  # fmt: skip


class DlpackOnly:
    """What is known of an array before its memory is asked for."""

    def __init__(self, kind):
        self.kind = kind

    def __dlpack_device__(self):
        return self.kind, 0


@pytest.fixture
def opened(monkeypatch):
    device = OpenedDevice()
    monkeypatch.setattr(opening, "open_device", lambda: device)
    return device


def descriptors(seed, *shape):
    return unit(np.random.default_rng(seed).standard_normal(shape))


@pytest.mark.parametrize("soft", [None, SOFT])
def test_match_goes_where_the_arrays_are(opened, soft):
    arrays = descriptors(0, 7, 24), descriptors(1, 5, 6, 24)
    host = match(*arrays, soft)
    assert isinstance(host, Found)
    own = [DeviceArray.of(opened, each) for each in arrays]
    foreign = [ForeignArray(each) for each in own]
    for queries, target in (own, foreign, (own[0], foreign[1]), (foreign[0], own[1])):
        found = match(queries, target, soft)
        assert isinstance(found, FoundOnDevice)
        assert found.cells.device is opened
        brought = found.numpy()
        assert brought.peaks.tolist() == host.peaks.tolist()
        np.testing.assert_allclose(brought.cells, host.cells, atol=1e-4)
        np.testing.assert_allclose(brought.similarity, host.similarity, atol=1e-6)


def test_neighbours_go_where_the_arrays_are(opened):
    arrays = descriptors(2, 9, 24), descriptors(3, 11, 24)
    host = neighbours(*arrays)
    assert isinstance(host, Neighbours)
    found = neighbours(*[ForeignArray(DeviceArray.of(opened, each)) for each in arrays])
    assert isinstance(found, NeighboursOnDevice)
    brought = found.numpy()
    assert brought.forward.tolist() == host.forward.tolist()
    assert brought.backward.tolist() == host.backward.tolist()
    np.testing.assert_allclose(brought.distance, host.distance, atol=1e-5)


def test_sample_and_nearest_go_where_the_arrays_are(opened):
    features = np.random.default_rng(0).standard_normal((5, 4, 8)).astype(np.float32)
    cells = np.array([[1.25, 2.5], [3.0, 0.0]], np.float32)
    queries = sample(features, cells, "bilinear")
    there = [DeviceArray.of(opened, each) for each in (features, cells)]
    found = sample(*there, "bilinear")
    np.testing.assert_allclose(found.numpy(), queries, atol=1e-6)
    rows = unit(features).reshape(20, 8)
    truth = nearest(queries, rows, 3)
    result = nearest(found, DeviceArray.of(opened, rows), 3)
    np.testing.assert_array_equal(result[0].numpy(), truth[0])
    np.testing.assert_allclose(result[1].numpy(), truth[1], atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_window_softargmax_goes_where_the_arrays_are(opened, dtype):
    random = np.random.default_rng(7)
    arrays = [3 * random.standard_normal(shape).astype(dtype) for shape in ((5, 24), (4, 6, 24))]
    host = window_softargmax(*arrays, 3, 0.1, "cropped")
    foreign = [ForeignArray(DeviceArray.of(opened, each)) for each in arrays]
    found = window_softargmax(*foreign, 3, 0.1, "cropped")
    assert isinstance(found, DeviceArray)
    tolerance = 1e-4 if dtype is np.float32 else 2e-2  # unit descriptors are float16 again
    np.testing.assert_allclose(found.numpy(), host, atol=tolerance)


def test_both_sides_at_once_are_refused(opened):
    queries, target = descriptors(4, 7, 24), descriptors(5, 5, 6, 24)
    there = DeviceArray.of(opened, target)
    with pytest.raises(TypeError, match="target on the GPU and queries on the host"):
        match(queries, there)
    with pytest.raises(TypeError, match="queries on the GPU and target on the host"):
        match(DlpackOnly(2), target)
    with pytest.raises(TypeError, match="b on the GPU and a on the host"):
        neighbours(queries, ForeignArray(there))


def test_dlpack_says_which_side_an_array_is_on(opened):
    """PyTorch's tensors and numpy's arrays have DLPack on the host too."""
    queries = descriptors(6, 7, 24)
    with pytest.raises(TypeError, match="cannot be used together"):
        match(DlpackOnly(13), queries)
    with pytest.raises(TypeError, match="cannot be used together"):
        match(DlpackOnly(2), DlpackOnly(1))


def test_a_tensor_on_the_gpu_may_refuse_the_other_interface(opened):
    """PyTorch's do where they require a gradient, and their DLPack says what to do about it."""

    class NeedsGradient(DlpackOnly):
        @property
        def __cuda_array_interface__(self):
            raise RuntimeError("Can't get __cuda_array_interface__ on Variable that requires grad")

        def __dlpack__(self, **asked):
            raise BufferError("use tensor.detach()")

    with pytest.raises(BufferError, match="detach"):
        match(NeedsGradient(2), NeedsGradient(2))


@pytest.mark.parametrize(
    ("queries", "target", "error", "message"),
    [
        (np.ones((2, 4)), np.ones((3, 3, 5)), ValueError, "target has 5 channels and the first 4"),
        (np.ones((2, 4)), np.ones((3, 4)), ValueError, r"target has shape \(3, 4\); 3 dimensions"),
        ([[1.0]], np.ones((3, 3, 1)), TypeError, "queries is a list; give numpy or GPU arrays"),
    ],
)
def test_what_cannot_be_matched_is_told_in_one_line(queries, target, error, message):
    with pytest.raises(error, match=message):
        match(queries, target)


def test_the_host_needs_nothing_of_cuda():
    program = (
        "import sys\n"
        "import numpy as np\n"
        "from geoaware.kernels import match\n"
        "match(np.ones((1, 3), np.float32), np.ones((2, 2, 3), np.float32))\n"
        "assert not {'pycuda', 'cuda', 'torch'} & set(sys.modules)\n"
        "assert 'geoaware.kernels.cuda.open' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
