"""A GPU through either launcher; test_launchers.py runs it with the driver on the host too."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from geoaware.kernels.cuda import cubins, libcuda
from geoaware.kernels.cuda.arrays import DeviceArray
from geoaware.kernels.cuda.device import NULL
from geoaware.kernels.cuda.errors import CudaError, CudaMemoryError
from geoaware.kernels.cuda.foreign import as_device_array
from geoaware.kernels.cuda.gpu import Gpu
from geoaware.kernels.cuda.open import open_device
from tests.cuda_on_host.driver.program import PROBES

pytestmark = pytest.mark.gpu


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    monkeypatch.setattr(cubins, "SOURCES", PROBES.parent)
    try:
        return open_device()
    except CudaError as problem:
        pytest.skip(str(problem))


def add(gpu: Gpu, a: DeviceArray, b: DeviceArray) -> DeviceArray:
    total = DeviceArray.empty(gpu, a.shape, np.float32)
    grid = (-(-a.size // 128),)
    gpu.kernel("launching", "add").launch(grid, (128,), [a, b, total, np.int32(a.size)])
    return total


@pytest.mark.parametrize("dtype", ["f4", "f2", "u1", "i4", "u8", "?"])
@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (3, 5, 7)])
def test_arrays_come_back_as_they_went(gpu: Gpu, shape: tuple[int, ...], dtype: str) -> None:
    array = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    back = DeviceArray.of(gpu, array).numpy()
    assert (back.shape, back.dtype) == (array.shape, array.dtype)
    np.testing.assert_array_equal(back, array)


def test_arrays_are_copied_and_parted_on_the_device(gpu: Gpu) -> None:
    array = np.arange(24, dtype=np.float32).reshape(3, 2, 4)
    there = DeviceArray.of(gpu, array)
    copy = there.copy()
    add(gpu, there, there)
    gpu.fill(there.pointer, 0, there.nbytes)
    assert [each.shape for each in copy.rows()] == [(2, 4)] * 3
    np.testing.assert_array_equal([each.numpy() for each in copy.rows()], array)
    assert not there.numpy().any()


def test_kernels_get_their_arguments(gpu: Gpu) -> None:
    told = DeviceArray.empty(gpu, (7,), np.float64)
    values = [np.int8(-3), np.uint16(60000), np.int32(-70000), np.uint64(2**53), np.float32(0.5)]
    kernel = gpu.kernel("launching", "tell")
    kernel.launch((1,), (1,), [told, *values, np.float64(1e300), NULL])
    assert told.numpy().tolist() == [-3, 60000, -70000, 2**53, 0.5, 1e300, 1]


def test_grids_and_blocks_have_up_to_three_dimensions(gpu: Gpu) -> None:
    places = DeviceArray.empty(gpu, (12 * 24,), np.int32)
    gpu.kernel("launching", "place").launch((3, 2, 2), (4, 3, 2), [places])
    expected = 1000 * np.arange(12)[:, None] + np.arange(24)
    np.testing.assert_array_equal(places.numpy(), expected.ravel())


def test_a_block_may_have_all_shared_memory(gpu: Gpu) -> None:
    found = DeviceArray.empty(gpu, (1,), np.int32)
    kernel = gpu.kernel("launching", "reach")
    most = gpu.shared_bytes
    kernel.launch((1,), (1,), [found, np.int32(most)], shared_bytes=most)
    assert found.numpy().tolist() == [42]
    with pytest.raises(CudaError, match="reach: launching"):
        kernel.launch((1,), (1,), [found, np.int32(1)], shared_bytes=most + 16)


@pytest.mark.parametrize(("grid", "block"), [((0,), (32,)), ((1,), (2048,)), ((1, 70000), (1,))])
def test_a_launch_that_cannot_be_is_refused(
    gpu: Gpu, grid: tuple[int, ...], block: tuple[int, ...]
) -> None:
    places = DeviceArray.empty(gpu, (1,), np.int32)
    with pytest.raises(CudaError, match="place: launching .* blocks"):
        gpu.kernel("launching", "place").launch(grid, block, [places])
    gpu.stream.synchronize()  # nothing else is harmed


def test_a_kernel_that_is_not_there_is_named(gpu: Gpu) -> None:
    with pytest.raises(CudaError, match="no_such_kernel"):
        gpu.kernel("launching", "no_such_kernel")


def test_what_the_driver_does_not_load_is_explained(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cubins, "cubin", lambda file, architecture: bytes(1000))
    with pytest.raises(CudaError, match="does not take broken.cu .* update the driver"):
        gpu.kernel("broken", "add")


def test_a_pageable_array_may_change_after_its_upload(gpu: Gpu) -> None:
    host = np.arange(1000, dtype=np.float32)
    there = DeviceArray.of(gpu, host)
    host[:] = -1
    np.testing.assert_array_equal(there.numpy(), np.arange(1000))


def test_page_locked_copies(gpu: Gpu) -> None:
    host, back = gpu.pinned((10, 10), np.float32), gpu.pinned((10, 10), np.float32)
    host[:] = np.arange(100).reshape(10, 10)
    there = DeviceArray.empty(gpu, (10, 10), np.float32)
    gpu.upload(host, there.pointer)
    gpu.download(add(gpu, there, there).pointer, back)
    gpu.stream.synchronize()
    np.testing.assert_array_equal(back, 2 * host)


def test_copies_refuse_arrays_with_gaps(gpu: Gpu) -> None:
    there = DeviceArray.empty(gpu, (5,), np.float32)
    with pytest.raises(ValueError, match="C-contiguous"):
        gpu.upload(np.zeros(10, np.float32)[::2], there.pointer)
    with pytest.raises(ValueError, match="C-contiguous"):
        gpu.download(there.pointer, np.zeros(10, np.float32)[::2])


def test_fill(gpu: Gpu) -> None:
    there = DeviceArray.of(gpu, np.zeros(8, np.uint8))
    gpu.fill(there.pointer + 2, 7, 3)
    assert there.numpy().tolist() == [0, 0, 7, 7, 7, 0, 0, 0]


def test_a_stream_waits_for_anothers_event(gpu: Gpu) -> None:
    uploads, uploaded = gpu.new_stream(), gpu.new_event()
    host = gpu.pinned((1000,), np.float32)
    host[:] = 3
    there = DeviceArray.of(gpu, np.zeros(1000, np.float32))
    gpu.stream.synchronize()
    gpu.upload(host, there.pointer, uploads)
    uploaded.record(uploads)
    gpu.stream.wait(uploaded)
    np.testing.assert_array_equal(add(gpu, there, there).numpy(), np.full(1000, 6))


def test_events_tell_the_time_between_them(gpu: Gpu) -> None:
    before, after = gpu.new_event(timed=True), gpu.new_event(timed=True)
    there = DeviceArray.of(gpu, np.zeros(1000, np.float32))
    before.record(gpu.stream)
    add(gpu, there, there)
    after.record(gpu.stream)
    after.synchronize()
    assert 0 < after.milliseconds_since(before) < 10_000
    with pytest.raises(CudaError, match="cuEventElapsedTime"):
        gpu.new_event().milliseconds_since(before)


def test_freed_memory_is_given_out_again(gpu: Gpu) -> None:
    memory = gpu.allocate(10_000_001)
    pointer = memory.pointer
    assert pointer % 256 == 0
    del memory
    assert gpu.allocate(10_000_000).pointer == pointer


def test_too_much_memory_is_a_clear_error(gpu: Gpu) -> None:
    with pytest.raises(CudaMemoryError, match="MiB of memory left"):
        gpu.allocate(2**50)


def test_too_much_page_locked_memory_is_a_clear_error(gpu: Gpu) -> None:
    with pytest.raises(CudaMemoryError, match="MiB of page-locked memory"):
        gpu.pinned((2**50,), np.uint8)


def test_it_works_wherever_another_library_left_the_thread(gpu: Gpu) -> None:
    libcuda.call("cuCtxSetCurrent", None)
    there = DeviceArray.of(gpu, np.ones(5, np.float32))
    libcuda.call("cuCtxSetCurrent", None)
    assert add(gpu, there, there).numpy().tolist() == [2] * 5


def test_threads_share_the_device(gpu: Gpu) -> None:
    def work(number: int) -> float:
        mine = open_device()
        assert mine is gpu
        there = DeviceArray.of(mine, np.full(999, number, np.float32))
        for _ in range(3):
            there = add(mine, there, there)
        _ = mine.new_stream(), mine.new_event(), mine.pinned((4,), np.float32)
        result = there.numpy()
        assert (result == result[0]).all()
        return float(result[0])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(40))) == [8.0 * number for number in range(40)]


class Interface:
    """An array of a library that has only `__cuda_array_interface__`."""

    def __init__(self, array: DeviceArray, **changed: object) -> None:
        self.array = array
        self.__cuda_array_interface__ = {**array.__cuda_array_interface__, **changed}


def test_arrays_by_the_cuda_array_interface(gpu: Gpu) -> None:
    host = np.arange(24, dtype=np.float32).reshape(2, 12)
    other = gpu.new_stream()
    there = DeviceArray.empty(gpu, (2, 12), np.float32)
    pinned = gpu.pinned((2, 12), np.float32)
    pinned[:] = host
    gpu.upload(pinned, there.pointer, other)
    taken = as_device_array(Interface(there, stream=other.handle), gpu)
    assert taken.pointer == there.pointer
    np.testing.assert_array_equal(taken.numpy(), host)
    assert as_device_array(Interface(there, data=(there.pointer, True)), gpu).readonly
    with pytest.raises(ValueError, match="GPU"):
        as_device_array(Interface(there, data=(host.ctypes.data, False)), gpu)


def test_arrays_by_dlpack(gpu: Gpu) -> None:
    there = DeviceArray.of(gpu, np.arange(12, dtype=np.float16).reshape(3, 4))
    assert there.__dlpack_device__() == (2, 0)

    class Other:
        def __dlpack_device__(self) -> tuple[int, int]:
            return there.__dlpack_device__()

        def __dlpack__(self, **how: object) -> object:
            return there.__dlpack__(**how)

    taken = as_device_array(Other(), gpu)
    assert taken.pointer == there.pointer
    np.testing.assert_array_equal(taken.numpy(), there.numpy())
    with pytest.raises(TypeError, match="on the host"):
        as_device_array(np.zeros(3, np.float32), gpu)


def test_who_takes_an_array_waits_for_what_was_enqueued(gpu: Gpu) -> None:
    theirs, seen = gpu.new_stream(), gpu.pinned((1000,), np.float32)
    ones = DeviceArray.of(gpu, np.ones(1000, np.float32))
    gpu.stream.synchronize()
    total = add(gpu, ones, ones)
    _ = total.__dlpack__(stream=theirs.handle)
    gpu.download(total.pointer, seen, theirs)
    theirs.synchronize()
    np.testing.assert_array_equal(seen, np.full(1000, 2))


def test_tensors_of_pytorch_go_both_ways(gpu: Gpu) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("PyTorch has no CUDA here")
    tensor = torch.arange(12.0, device="cuda").reshape(3, 4)
    taken = as_device_array(tensor, gpu)
    assert taken.pointer == tensor.data_ptr()
    doubled = torch.from_dlpack(add(gpu, taken, taken))
    assert torch.equal(doubled, 2 * tensor)
    assert torch.equal(torch.as_tensor(add(gpu, taken, taken), device="cuda"), 2 * tensor)
