"""A `Device` whose kernels run on the host: the same source, built by g++."""

from __future__ import annotations

import ctypes
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from geoaware.kernels.cuda.errors import CudaError

from .arguments import Parameters, packed
from .build import KERNELS, BuildError, Checks, engine, library


class _Entry(ctypes.Structure):
    """`Entry` of include/entry.hpp."""

    _fields_ = (
        ("call", ctypes.c_void_p),
        ("parameters", ctypes.POINTER(ctypes.c_char_p)),
        ("parameter_count", ctypes.c_uint),
        ("most_threads", ctypes.c_uint),
    )


class _Launch(ctypes.Structure):
    """`Launch` of engine/launch.hpp."""

    _fields_ = (
        ("entry", ctypes.c_void_p),
        ("find_static_shared", ctypes.c_void_p),
        ("arguments", ctypes.c_void_p),
        ("shared_bytes", ctypes.c_uint64),
        ("seed", ctypes.c_uint64),
        ("grid", ctypes.c_uint32 * 3),
        ("block", ctypes.c_uint32 * 3),
        ("order", ctypes.c_uint32),
        ("eager_copies", ctypes.c_uint32),
        ("check_races", ctypes.c_uint32),
        ("workers", ctypes.c_uint32),
    )


class HostMemory:
    """Guarded memory: filled with 0xff, one end against an inaccessible page."""

    def __init__(self, nbytes: int, guard_before: bool) -> None:
        self.pointer = _engine().cuda_on_host_allocate(nbytes, guard_before)
        if not self.pointer:
            raise CudaError(f"no memory for {nbytes} bytes")

    def __del__(self) -> None:
        if self.pointer:
            _engine().cuda_on_host_release(self.pointer)


class HostStream:
    handle = 0

    def wait(self, event: HostEvent) -> None:
        pass

    def synchronize(self) -> None:
        pass


class HostEvent:
    moment = 0.0

    def record(self, stream: HostStream) -> None:
        self.moment = time.perf_counter()

    def synchronize(self) -> None:
        pass

    def milliseconds_since(self, earlier: HostEvent) -> float:
        return (self.moment - earlier.moment) * 1e3


@dataclass
class HostKernel:
    device: HostDevice
    name: str
    path: Path

    def launch(
        self,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        arguments: Sequence[Any],
        shared_bytes: int = 0,
    ) -> None:
        lib = ctypes.CDLL(str(self.path))
        entry = _Entry.in_dll(lib, f"entry_{self.name}")
        device = self.device
        names = [entry.parameters[i].decode() for i in range(entry.parameter_count)]
        pointers, values = packed(arguments, Parameters(self.name, names))
        self._check_sizes(grid, block, shared_bytes, entry.most_threads)
        launch = _Launch(
            ctypes.addressof(entry),
            ctypes.cast(lib.static_shared, ctypes.c_void_p),
            ctypes.addressof(pointers),
            shared_bytes,
            device.seed,
            (ctypes.c_uint32 * 3)(*grid, *[1] * (3 - len(grid))),
            (ctypes.c_uint32 * 3)(*block, *[1] * (3 - len(block))),
            device.order,
            device.eager_copies,
            device.checks == "race",
            1 if device.checks == "race" else device.threads,
        )
        problem = _engine().cuda_on_host_launch(ctypes.byref(launch))
        del values  # they had to live until here
        if problem:
            raise CudaError(f"{self.name}: {_with_lines(problem.decode(), self.path)}")

    def _check_sizes(
        self, grid: tuple[int, ...], block: tuple[int, ...], shared_bytes: int, most: int
    ) -> None:
        limits = ((2**31 - 1, 65535, 65535), (1024, 1024, 64))
        for what, sizes, limit in zip(("grid", "block"), (grid, block), limits, strict=True):
            if not 1 <= len(sizes) <= 3 or any(
                not 1 <= size <= most for size, most in zip(sizes, limit, strict=False)
            ):
                raise CudaError(f"{self.name}: a {what} of {sizes} cannot be launched")
        if np.prod(block) > min(most, 1024):
            raise CudaError(f"{self.name}: {np.prod(block)} threads in a block, at most {most}")
        if not 0 <= shared_bytes <= self.device.shared_bytes:
            raise CudaError(
                f"{self.name}: {shared_bytes} bytes of shared memory, "
                f"at most {self.device.shared_bytes}"
            )


class HostDevice:
    """Runs kernels on the host.

    order: in which threads run, 0 ascending, 1 descending, 2 random (by `seed`). eager_copies:
    asynchronous copies happen at once instead of at the wait. threads: blocks that run at the same
    time. checks: "race" finds unordered accesses, "undefined" what C++ leaves undefined (misaligned
    vector loads, indices past an array's end); both are slow. guard_before: buffers begin at an
    inaccessible page, instead of ending at one. kernels: the folder with `cuda` and `include`.
    """

    name = "host"
    compute_capability = (9, 0)
    multiprocessors = 2
    shared_bytes = 227 * 1024

    def __init__(
        self,
        order: int = 0,
        eager_copies: bool = False,
        threads: int = 1,
        checks: Checks = None,
        guard_before: bool = False,
        kernels: Path = KERNELS,
    ) -> None:
        self.order, self.eager_copies, self.threads, self.seed = order, eager_copies, threads, 1
        self.checks, self.guard_before, self.kernels = checks, guard_before, kernels
        self.stream = HostStream()

    def __repr__(self) -> str:
        order = ("ascending", "descending", "random")[self.order]
        copies = "eager" if self.eager_copies else "late"
        return f"<host: {order} threads, {copies} copies, checks {self.checks}>"

    def allocate(self, nbytes: int) -> HostMemory:
        return HostMemory(nbytes, self.guard_before)

    def pinned(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        return np.empty(shape, dtype)

    def upload(self, host: np.ndarray, pointer: int, stream: Any = None) -> None:
        ctypes.memmove(pointer, host.ctypes.data, host.nbytes)

    def download(self, pointer: int, host: np.ndarray, stream: Any = None) -> None:
        ctypes.memmove(host.ctypes.data, pointer, host.nbytes)

    def copy(self, source: int, target: int, nbytes: int) -> None:
        ctypes.memmove(target, source, nbytes)

    def fill(self, pointer: int, byte: int, nbytes: int) -> None:
        ctypes.memset(pointer, byte, nbytes)

    def kernel(self, file: str, name: str) -> HostKernel:
        try:
            path = library(self.kernels / "cuda" / f"{file}.cu", self.checks)
        except (BuildError, FileNotFoundError) as problem:
            raise CudaError(f"{file}.cu: {problem}") from problem
        if not hasattr(ctypes.CDLL(str(path)), f"entry_{name}"):
            raise CudaError(f"{file}.cu has no kernel {name}")
        return HostKernel(self, name, path)

    def new_stream(self) -> HostStream:
        return HostStream()

    def new_event(self, timed: bool = False) -> HostEvent:
        return HostEvent()


@cache
def _engine() -> ctypes.CDLL:
    lib = ctypes.CDLL(str(engine()))
    lib.cuda_on_host_launch.restype = ctypes.c_char_p
    lib.cuda_on_host_allocate.restype = ctypes.c_void_p
    lib.cuda_on_host_allocate.argtypes = [ctypes.c_size_t, ctypes.c_int]
    lib.cuda_on_host_release.restype = None
    lib.cuda_on_host_release.argtypes = [ctypes.c_void_p]
    return lib


def _with_lines(problem: str, path: Path) -> str:
    """Puts files and lines where the engine says `<library+0x123>`, if addr2line is there."""

    def line(found: re.Match[str]) -> str:
        address = hex(int(found[1], 16) - 1)  # inside the call, not behind it
        command = ["addr2line", "-i", "-e", str(path), address]
        try:
            told = subprocess.run(command, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return found[0]
        places = [each for each in told.stdout.splitlines() if "cuda_on_host/include" not in each]
        return places[0].split(" (")[0] if places else found[0]

    return re.sub(r"<library\+0x([0-9a-f]+)>", line, problem)
