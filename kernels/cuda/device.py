"""What the kernels need of a GPU: memory, streams, copies and compiled kernels.

PyCUDA and NVIDIA's cuda-bindings implement it for a GPU, and the tests for the host. All work goes
to one stream, so what is enqueued first is done first, and memory that was freed may be given out
again at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

if TYPE_CHECKING:
    from .arrays import DeviceArray

Dim = tuple[int, ...]
Argument: TypeAlias = "DeviceArray | np.generic"

NULL = np.uintp(0)  # the pointer argument of a kernel that gets no array


class Memory(Protocol):
    """Bytes on the device, given back when the last reference to it goes."""

    @property
    def pointer(self) -> int:
        """The device address of its first byte, aligned to 256 bytes."""


class Event(Protocol):
    """A moment in a stream."""

    def record(self, stream: Stream) -> None:
        """Set the moment: when everything that is in the stream by now is done."""

    def synchronize(self) -> None:
        """Wait for it. Raises CudaError where something before it failed."""

    def milliseconds_since(self, earlier: Event) -> float:
        """The time between two recorded moments of timed events, after both have come."""


class Stream(Protocol):
    """A queue of work, done in order."""

    @property
    def handle(self) -> int:
        """The CUstream, as other libraries take it."""

    def wait(self, event: Event) -> None:
        """Let all later work wait for an event of another stream."""

    def synchronize(self) -> None:
        """Wait until everything in the stream is done. Raises CudaError where it failed."""


class Kernel(Protocol):
    """A compiled kernel."""

    def launch(
        self,
        grid: Dim,
        block: Dim,
        arguments: Sequence[Argument],
        shared_bytes: int = 0,
    ) -> None:
        """Enqueue it on the device's stream.

        grid: blocks, block: threads, up to three numbers each. shared_bytes: dynamic shared
        memory of a block, up to the device's `shared_bytes`. Raises CudaError where the launch is
        refused.
        """


class Device(Protocol):
    """One GPU and the stream that all kernels run in.

    name: as the driver gives it. compute_capability: (9, 0) for sm_90. multiprocessors: how many
    blocks run side by side at least. shared_bytes: the most dynamic shared memory a block may ask.
    dlpack_device: its type and number in DLPack, (2, 0) for the first GPU.
    """

    name: str
    compute_capability: tuple[int, int]
    multiprocessors: int
    shared_bytes: int
    dlpack_device: tuple[int, int]

    @property
    def stream(self) -> Stream:
        """The stream of all kernels."""

    def __hash__(self) -> int:
        """Devices are told apart by identity."""

    def allocate(self, nbytes: int) -> Memory:
        """Uninitialised memory. Raises CudaError where there is not enough."""

    def pinned(self, shape: Dim, dtype: DTypeLike) -> NDArray[Any]:
        """A page-locked array on the host: copies from and to it run beside other work."""

    def upload(self, host: NDArray[Any], pointer: int, stream: Stream | None = None) -> None:
        """Enqueue a copy of a C-contiguous array to the device.

        A pageable array may be changed as soon as this returns, a pinned one once the copy is done.
        """

    def download(self, pointer: int, host: NDArray[Any], stream: Stream | None = None) -> None:
        """Enqueue a copy into a C-contiguous array; it is there after `synchronize`."""

    def copy(self, source: int, target: int, nbytes: int) -> None:
        """Enqueue a copy on the device."""

    def fill(self, pointer: int, byte: int, nbytes: int) -> None:
        """Enqueue setting nbytes to one value."""

    def kernel(self, file: str, name: str) -> Kernel:
        """The kernel of that name from `kernels/cuda/<file>.cu`, compiled for this device.

        Raises CudaError where there is no compiler for it or it does not compile.
        """

    def new_stream(self) -> Stream:
        """Another stream, which waits for nothing it is not told to wait for."""

    def new_event(self, timed: bool = False) -> Event:
        """An event. Only timed ones know the time between them; others cost less."""

    def external_stream(self, handle: int) -> Stream:
        """Another library's stream, by its CUstream; 1 is the legacy default stream."""

    def holds(self, pointer: int) -> bool:
        """Whether an address lies in this device's memory."""
