"""What a kernel or a launcher does wrong is an error that says what, where and by whom."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from geoaware.kernels.cuda.arrays import DeviceArray
from geoaware.kernels.cuda.device import NULL
from geoaware.kernels.cuda.errors import CudaError

from .host_device import HostDevice


def floats(host: HostDevice) -> DeviceArray:
    return DeviceArray.of(host, np.zeros(64, np.float32))


def refused(host: HostDevice, kernel: str, threads: int, *arguments, shared_bytes: int = 0) -> str:
    """What the error says; afterwards the device works as before."""
    with pytest.raises(CudaError) as problem:
        host.kernel("faults", kernel).launch((1,), (threads,), arguments, shared_bytes)
    out = floats(host)
    host.kernel("faults", "fine").launch((1,), (64,), [out])
    assert out.numpy().all()
    return str(problem.value)


BARRIERS = {
    "half_a_barrier": (32, "16 threads wait at the block's barrier, 16 in warp operations"),
    "returned_before_barrier": (64, "after another thread of the block has returned|deadlock"),
    "two_barriers": (64, "different barriers: __syncthreads(_or)? and __syncthreads"),
    "half_a_warp": (32, "deadlock.*16 in warp operations, 16 have returned|lane that has returned"),
    "not_in_own_mask": (32, "the lane is not in its own mask"),
    "reads_outside_mask": (32, "reads a lane outside its mask"),
    "masks_overlap": (32, "different masks|lane that has returned"),
    "operations_meet": (32, "different operations"),
    "odd_width": (32, "width is no power of two"),
}


@pytest.mark.parametrize("order", range(3))
@pytest.mark.parametrize("kernel", BARRIERS)
def test_threads_that_miss_each_other(host: HostDevice, kernel: str, order: int):
    threads, expected = BARRIERS[kernel]
    host.order = order
    said = refused(host, kernel, threads, floats(host))
    assert re.search(expected, said)
    assert re.search(r"block \(0,0,0\) thread \(\d+,0,0\)", said)


@pytest.mark.parametrize("index", [64, 1000, 300_000])
@pytest.mark.parametrize("kernel", ["read_at", "write_at"])
def test_outside_a_buffer(host: HostDevice, kernel: str, index: int):
    said = refused(host, kernel, 1, floats(host), np.int32(index))
    assert f"illegal memory access: byte {4 * index} of a buffer of 256 bytes" in said
    assert "block (0,0,0) thread (0,0,0)" in said
    assert "faults.cu:" in said


@pytest.mark.parametrize("index", [-1, -1000, -300_000])
@pytest.mark.parametrize("kernel", ["read_at", "write_at"])
def test_before_a_buffer(host: HostDevice, kernel: str, index: int):
    host.guard_before = True
    said = refused(host, kernel, 1, floats(host), np.int32(index))
    assert f"illegal memory access: byte {4 * index} of a buffer of 256 bytes" in said


@pytest.mark.parametrize(("guard_before", "index"), [(False, -1), (True, 64)])
def test_a_write_on_the_open_side_is_noticed_afterwards(
    host: HostDevice, guard_before: bool, index: int
):
    host.guard_before = guard_before
    out = floats(host)
    with pytest.raises(CudaError, match="4 bytes written beside a buffer of 256 bytes"):
        host.kernel("faults", "write_at").launch((1,), (1,), [out, np.int32(index)])


@pytest.mark.parametrize("kernel", ["read_dynamic", "write_dynamic"])
def test_past_the_dynamic_shared_memory(host: HostDevice, kernel: str):
    said = refused(host, kernel, 1, floats(host), np.int32(64), shared_bytes=256)
    assert "byte 256 of 256 bytes of dynamic shared memory" in said


def test_before_the_dynamic_shared_memory(host: HostDevice):
    said = refused(host, "write_dynamic", 1, floats(host), np.int32(-1), shared_bytes=256)
    assert "written beside the dynamic shared memory" in said


@pytest.mark.parametrize("index", [64, 300, -1, -200])
def test_outside_the_static_shared_memory(host: HostDevice, index: int):
    launch = host.kernel("static_shared", "write_at").launch
    launch((1,), (1,), [floats(host), np.int32(63)])
    with pytest.raises(CudaError, match="written beside the static shared memory"):
        launch((1,), (1,), [floats(host), np.int32(index)])


def test_a_stack_that_overflows(host: HostDevice):
    assert "stack has overflowed" in refused(host, "deep_stack", 1, floats(host), np.int32(200))


def test_division_by_zero(host: HostDevice):
    assert "division by zero" in refused(host, "divide", 1, floats(host), np.int32(0))


COPIES = {
    "misaligned_copy": "cp.async: an address is not a multiple of 16",
    "copy_without_wait": "without waiting for its asynchronous copies",
    "copy_without_group": "asynchronous copies in no group",
}


@pytest.mark.parametrize("kernel", COPIES)
def test_copies(host: HostDevice, kernel: str):
    assert COPIES[kernel] in refused(host, kernel, 1, floats(host))


def test_a_copy_to_elsewhere(host: HostDevice):
    said = refused(host, "copy_to_global", 1, floats(host), floats(host))
    assert "cp.async: the target is not in shared memory" in said


def test_a_misaligned_matrix(host: HostDevice):
    words = DeviceArray.of(host, np.zeros(32, np.uint32))
    assert "row's address is not a multiple of 16" in refused(host, "misaligned_matrix", 32, words)


def test_the_first_fault_of_several_blocks_counts(host: HostDevice):
    host.threads = 2
    with pytest.raises(CudaError, match="byte 4000 of a buffer of 256 bytes"):
        host.kernel("faults", "read_at").launch((9,), (1,), [floats(host), np.int32(1000)])


SIZES = {
    r"grid of \(0,\)": ((0,), (1,), 0),
    r"grid of \(1, 65536\)": ((1, 65536), (1,), 0),
    r"block of \(0,\)": ((1,), (0,), 0),
    r"block of \(1, 1, 65\)": ((1,), (1, 1, 65), 0),
    r"block of \(1025,\)": ((1,), (1025,), 0),
    "2048 threads": ((1,), (64, 32), 0),
    "232449 bytes of shared memory": ((1,), (1,), 227 * 1024 + 1),
}


@pytest.mark.parametrize("what", SIZES)
def test_a_launch_beyond_the_device(host: HostDevice, what: str):
    grid, block, shared_bytes = SIZES[what]
    with pytest.raises(CudaError, match=what):
        host.kernel("faults", "fine").launch(grid, block, [floats(host)], shared_bytes)


def test_a_launch_beyond_its_bounds(host: HostDevice):
    with pytest.raises(CudaError, match="65 threads in a block, at most 64"):
        host.kernel("faults", "bounded").launch((1,), (65,), [floats(host)])


ARGUMENTS = [
    ((), "takes 2 arguments, got 0"),
    (("array", np.int64(1)), r"parameter 2 is <i4, got <i8"),
    (("array", np.float32(1)), r"parameter 2 is <i4, got <f4"),
    (("array", 1), r"parameter 2 is <i4, got int"),
    (("array", "array"), r"parameter 2 is <i4, got \*<f4"),
    ((np.int32(1), np.int32(1)), r"parameter 1 is \*<f4, got <i4"),
    (("halves", np.int32(1)), r"parameter 1 is \*<f4, got \*<f2"),
]


@pytest.mark.parametrize(("given", "expected"), ARGUMENTS)
def test_arguments_that_do_not_fit(host: HostDevice, given: tuple, expected: str):
    halves = DeviceArray.of(host, np.zeros(64, np.float16))
    arrays = {"array": floats(host), "halves": halves}
    arguments = [arrays[each] if isinstance(each, str) else each for each in given]
    with pytest.raises(CudaError, match=expected):
        host.kernel("faults", "read_at").launch((1,), (1,), arguments)


def test_no_array_is_the_null_pointer(host: HostDevice):
    said = refused(host, "read_at", 1, NULL, np.int32(0))
    assert "illegal memory access: address (nil), near no buffer" in said


def test_kernels_and_files_that_are_not_there(host: HostDevice, tmp_path: Path):
    with pytest.raises(CudaError, match=r"faults\.cu has no kernel absent"):
        host.kernel("faults", "absent")
    with pytest.raises(CudaError, match=r"absent\.cu"):
        host.kernel("absent", "fine")
    (tmp_path / "cuda").mkdir()
    (tmp_path / "cuda" / "broken.cu").write_text("this is not C++")
    with pytest.raises(CudaError, match=r"(?s)broken\.cu.*this is not"):
        HostDevice(kernels=tmp_path).kernel("broken", "fine")
