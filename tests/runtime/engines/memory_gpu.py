"""A GPU whose memory is the host's, for engines: it copies, and records graphs."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from geoaware.kernels.cuda.errors import CudaError


class Memory:
    def __init__(self, nbytes: int) -> None:
        self.bytes = np.full(nbytes, 0xFF, np.uint8)
        self.pointer = self.bytes.ctypes.data


class Stream:
    """Does everything at once; what is enqueued while a graph is recorded is kept for it."""

    handle = 7

    def __init__(self) -> None:
        self.recording: list[Callable[[], None]] | None = None

    def enqueue(self, work: Callable[[], None]) -> None:
        if self.recording is None:
            work()
        else:
            self.recording.append(work)

    def synchronize(self) -> None:
        assert self.recording is None, "waiting cannot be recorded"


class Context:
    """The GPU's context; other libraries make theirs the current one, by `current = False`."""

    current = False

    def enter(self) -> None:
        self.current = True


class MemoryGpu:
    """As much of `kernels.cuda.gpu.Gpu` as engines need.

    no_kernels: why it runs none. trims: how often its pool gave back what it kept.
    """

    no_kernels: Exception | None = None
    trims = 0

    def __init__(
        self, name: str = "NVIDIA RTX Test", compute_capability: tuple[int, int] = (8, 9)
    ) -> None:
        self.name, self.compute_capability = name, compute_capability
        self.stream, self.context = Stream(), Context()

    def allocate(self, nbytes: int) -> Memory:
        return Memory(nbytes)

    def trim(self) -> None:
        self.trims += 1

    def kernel(self, file: str, name: str) -> None:
        if self.no_kernels:
            raise self.no_kernels

    def upload(self, host: np.ndarray, pointer: int) -> None:
        ctypes.memmove(pointer, host.ctypes.data, host.nbytes)

    def download(self, pointer: int, host: np.ndarray) -> None:
        ctypes.memmove(host.ctypes.data, pointer, host.nbytes)


class RecordedGraph:
    """`kernels.cuda.graph.CudaGraph` on a `MemoryGpu`. refused: recordings fail."""

    made = 0
    refused = False

    def __init__(self, gpu: MemoryGpu, function: Callable[[], object]) -> None:
        gpu.stream.recording = []
        try:
            function()
            self._work = gpu.stream.recording
            if self.refused:
                raise CudaError("CUDA_ERROR_STREAM_CAPTURE_INVALIDATED")
        finally:
            gpu.stream.recording = None
        RecordedGraph.made += 1

    def replay(self) -> None:
        for each in self._work:
            each()


def array_at(pointer: int, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """The memory at an address."""
    nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    buffer = (ctypes.c_byte * nbytes).from_address(pointer)
    return np.frombuffer(buffer, dtype).reshape(shape)
