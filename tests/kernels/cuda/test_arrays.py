"""Arrays that go from one library to another without a copy."""

from __future__ import annotations

import gc
import sys
import weakref
from typing import Any

import numpy as np
import pytest

from geoaware.kernels.cuda import dlpack
from geoaware.kernels.cuda.arrays import DeviceArray
from geoaware.kernels.cuda.foreign import as_device_array
from tests.cuda_on_host.host_device import HostDevice, HostStream

DTYPES = ["f2", "f4", "f8", "i1", "i4", "i8", "u1", "u8", "?"]

VERSIONED = np.lib.NumpyVersion(np.__version__) >= "2.1.0"  # which makes the capsules

FAR = 0x1000  # an address of another GPU


class Host(HostDevice):
    """The host, as libraries of the host see it."""

    dlpack_device = (1, 0)

    def holds(self, pointer: int) -> bool:
        return pointer != FAR

    def external_stream(self, handle: int) -> HostStream:
        return HostStream()


class GpuLike(Host):
    """The host, called a GPU."""

    dlpack_device = (2, 0)


@pytest.fixture
def host() -> HostDevice:
    return Host()


@pytest.fixture
def gpu() -> HostDevice:
    return GpuLike()


class Foreign:
    """An array of another library, of numpy's memory."""

    def __init__(self, array: np.ndarray, device: tuple[int, int] = (2, 0), **how: Any) -> None:
        self.array, self.device, self.how = array, device, how

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device

    def __dlpack__(self, *, stream: int | None = None, **asked: Any) -> object:
        if "max_version" in asked and self.how.get("old"):
            raise TypeError("__dlpack__() got an unexpected keyword argument 'max_version'")
        return self.array.__dlpack__(**asked)


class Interface:
    def __init__(self, array: np.ndarray, **changed: Any) -> None:
        self.array = array
        self.__cuda_array_interface__ = {
            "version": 3,
            "shape": array.shape,
            "typestr": array.dtype.str,
            "data": (array.ctypes.data, False),
            "strides": array.strides,
            **changed,
        }


def aligned(shape: tuple[int, ...], dtype: str = "f4") -> np.ndarray:
    raw = np.zeros(int(np.prod(shape)) * np.dtype(dtype).itemsize + 16, np.uint8)
    start = -raw.ctypes.data % 16
    array = raw[start : start + raw.size - 16].view(dtype).reshape(shape)
    array[...] = np.arange(array.size).reshape(shape)
    return array


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (2, 3, 4)])
def test_numpy_reads_ours_where_it_lies(
    host: HostDevice, shape: tuple[int, ...], dtype: str
) -> None:
    array = aligned(shape, dtype)
    ours = DeviceArray.of(host, array)
    theirs = np.from_dlpack(ours)
    assert theirs.dtype == array.dtype
    np.testing.assert_array_equal(theirs, array)
    assert theirs.ctypes.data == ours.pointer or not array.size


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_theirs_is_taken_where_it_lies(gpu: HostDevice, dtype: str, old: bool) -> None:
    array = aligned((2, 3, 4), dtype)
    ours = as_device_array(Foreign(array, old=old), gpu)
    assert (ours.pointer, ours.shape, ours.dtype) == (array.ctypes.data, (2, 3, 4), array.dtype)
    np.testing.assert_array_equal(ours.numpy(), array)


def test_an_array_lives_while_either_library_needs_it(host: HostDevice) -> None:
    ours = DeviceArray.of(host, aligned((4,)))
    lives = weakref.ref(ours.owner)
    theirs = np.from_dlpack(ours)
    del ours
    gc.collect()
    assert lives()
    np.testing.assert_array_equal(theirs, np.arange(4))
    del theirs
    assert not lives()


@pytest.mark.parametrize("max_version", [None, (0, 8), (1, 0), (1, 7), (2, 0)])
def test_a_capsule_that_nobody_takes_gives_back_what_it_holds(
    host: HostDevice, max_version: tuple[int, int] | None
) -> None:
    ours = DeviceArray.of(host, aligned((4,)))
    lives = weakref.ref(ours.owner)
    capsule = ours.__dlpack__(max_version=max_version)
    asked = max_version is not None and max_version[0] > 0
    assert ("versioned" in repr(capsule)) is (asked and VERSIONED)
    del ours
    assert lives()
    del capsule
    assert not lives()


@pytest.mark.parametrize("shape", [(), (0, 3), (1000, 1000, 1000)])
@pytest.mark.parametrize("max_version", [None, (1, 0)])
def test_memory_of_a_gpu_is_given_away_unread(
    gpu: HostDevice, shape: tuple[int, ...], max_version: tuple[int, int] | None
) -> None:
    there = 0x7000_0000_0100  # no memory of the host
    ours = DeviceArray(gpu, there, shape, np.dtype(np.float16), owner=object())
    handed = dlpack.take(ours.__dlpack__(max_version=max_version))
    assert (handed.pointer, handed.shape, handed.dtype) == (there, shape, np.float16)
    assert not handed.readonly


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_an_error_while_theirs_is_dropped_comes_through(host: HostDevice, library: str) -> None:
    from_dlpack = pytest.importorskip(library).from_dlpack
    ours = DeviceArray.of(host, aligned((4,)))
    lives = weakref.ref(ours.owner)
    with pytest.raises(ZeroDivisionError):
        print(from_dlpack(ours), 1 / 0)
    del ours
    assert not lives()


def test_a_library_that_refuses_ours_says_so_itself(gpu: HostDevice) -> None:
    ours = DeviceArray.of(gpu, aligned((4,)))
    lives = weakref.ref(ours.owner)
    with pytest.raises((BufferError, RuntimeError), match="(?i)device"):
        np.from_dlpack(ours)
    del ours
    assert not lives()


class OldNumpy(np.ndarray):
    """An array of numpy before 2.1, which knows no versions of DLPack."""

    def __dlpack__(self, *, stream: int | None = None) -> object:
        return super().__dlpack__(stream=stream)


def test_an_old_numpy_gives_capsules_without_a_version(
    gpu: HostDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = DeviceArray.of(gpu, aligned((4,)))
    asarray = np.asarray
    monkeypatch.setattr(np, "asarray", lambda *given: asarray(*given).view(OldNumpy))
    capsule = ours.__dlpack__(max_version=(1, 0))
    assert "versioned" not in repr(capsule)
    assert dlpack.take(capsule).pointer == ours.pointer


@pytest.mark.parametrize("old", [False, True])
def test_theirs_lives_while_ours_does(gpu: HostDevice, old: bool) -> None:
    array = aligned((4,))
    references = sys.getrefcount(array)
    ours = as_device_array(Foreign(array, old=old), gpu)
    view = ours.reshape(2, 2)
    del ours
    assert sys.getrefcount(array) == references + 1
    assert view.numpy().tolist() == [[0, 1], [2, 3]]
    del view
    assert sys.getrefcount(array) == references


def test_a_capsule_is_taken_once(host: HostDevice) -> None:
    capsule = DeviceArray.of(host, aligned((4,))).__dlpack__()
    dlpack.take(capsule)
    with pytest.raises(TypeError, match="no unused DLPack capsule"):
        dlpack.take(capsule)


@pytest.mark.skipif(not VERSIONED, reason="numpy before 2.1 exports no read-only arrays")
def test_read_only_stays_read_only(gpu: HostDevice, host: HostDevice) -> None:
    array = aligned((4,))
    array.flags.writeable = False
    ours = as_device_array(Foreign(array), gpu)
    assert ours.readonly
    assert ours.reshape(2, 2).readonly
    assert ours.__cuda_array_interface__["data"] == (array.ctypes.data, True)
    assert dlpack.take(ours.__dlpack__(max_version=(1, 0))).readonly
    with pytest.raises(BufferError, match="readonly"):
        ours.__dlpack__()
    assert as_device_array(Interface(aligned((4,)), data=(16, True)), gpu).readonly


def test_ours_is_returned_as_it_is(gpu: HostDevice, host: HostDevice) -> None:
    ours = DeviceArray.of(gpu, aligned((4,)))
    assert as_device_array(ours, gpu) is ours
    with pytest.raises(ValueError, match="another device"):
        as_device_array(ours, host)


def test_the_interface_describes_and_is_taken(gpu: HostDevice) -> None:
    ours = DeviceArray.of(gpu, aligned((2, 3)))
    described = ours.__cuda_array_interface__
    assert described["shape"] == (2, 3)
    assert described["typestr"] == "<f4"
    assert described["data"] == (ours.pointer, False)
    assert DeviceArray.empty(gpu, (0, 3), np.float32).__cuda_array_interface__["data"][0] == 0
    theirs = Interface(aligned((2, 3)))
    taken = as_device_array(theirs, gpu)
    assert taken.owner is theirs
    np.testing.assert_array_equal(taken.numpy(), theirs.array)


@pytest.mark.parametrize(
    ("array", "error", "message"),
    [
        (np.zeros(3, np.float32), TypeError, "ndarray is on the host: copy it to the GPU"),
        ([1, 2], TypeError, "list is no array on a GPU.*DeviceArray.of"),
        (Foreign(aligned((3,)), (10, 0)), TypeError, "DLPack's type 10, not CUDA"),
        (Foreign(aligned((3,)), (2, 1)), ValueError, "on GPU 1, the kernels run on GPU 0.*VISIBLE"),
        (Foreign(aligned((4, 4)).T), ValueError, "not C-contiguous"),
        (Foreign(aligned((8,))[::2]), ValueError, "not C-contiguous"),
        (Foreign(aligned((8,))[1:]), ValueError, "no multiple of 16 bytes: copy it"),
        (Interface(aligned((4, 4)).T), ValueError, "not C-contiguous"),
        (Interface(aligned((4,)), mask=object()), TypeError, "mask"),
        (Interface(aligned((4,)), typestr=">f4"), TypeError, "arrays of >f4 are not taken"),
        (Interface(aligned((4,)), data=(FAR, False)), ValueError, "on GPU another"),
    ],
)
def test_what_cannot_be_taken_is_refused(
    gpu: HostDevice, array: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        as_device_array(array, gpu)


def test_strides_of_single_rows_do_not_matter(gpu: HostDevice) -> None:
    single = aligned((4, 8))[:1]
    assert as_device_array(Interface(single, strides=(999, 4)), gpu).shape == (1, 8)
    empty = aligned((4, 8))[:0]
    assert as_device_array(Interface(empty, strides=(7, 7)), gpu).size == 0


def test_pytorch_goes_both_ways(host: HostDevice) -> None:
    torch = pytest.importorskip("torch")
    ours = DeviceArray.of(host, aligned((3, 4)))
    theirs = torch.from_dlpack(ours)
    assert theirs.data_ptr() == ours.pointer
    theirs *= 2
    np.testing.assert_array_equal(ours.numpy(), 2 * aligned((3, 4)))
    tensor = torch.arange(64.0).reshape(8, 8)
    taken = as_device_array(tensor, host)
    assert taken.pointer == tensor.data_ptr()
    with pytest.raises(ValueError, match="not C-contiguous"):
        as_device_array(tensor.T, host)
    with pytest.raises(TypeError, match="bfloat16"):
        as_device_array(tensor.bfloat16(), host)
