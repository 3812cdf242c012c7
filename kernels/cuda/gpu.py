"""A GPU as the kernels use it: `Device` with either launcher."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock, local
from typing import Any

from numpy.typing import DTypeLike, NDArray

from . import cubins, libcuda
from .arrays import DeviceArray
from .context import Context
from .device import Argument, Dim, Stream
from .errors import CudaError
from .launcher import NON_BLOCKING, Function, Launcher
from .memory import Block, Pool, pinned
from .streams import GpuEvent, GpuStream

_DLPACK_CUDA = 2
_MEMORY_TYPE, _DEVICE_ORDINAL = 2, 9  # of CUpointer_attribute


class GpuKernel:
    """A compiled kernel of a GPU."""

    def __init__(self, gpu: Gpu, name: str, function: Function) -> None:
        self._gpu, self._name, self._function = gpu, name, function
        self._allowed, self._allowing = 0, Lock()  # bytes of dynamic shared memory

    def launch(
        self, grid: Dim, block: Dim, arguments: Sequence[Argument], shared_bytes: int = 0
    ) -> None:
        """Enqueue it on the device's stream. Raises CudaError where the launch is refused."""
        kinds, values = "", []
        for each in arguments:
            if isinstance(each, DeviceArray):
                kinds += "P"
                values.append(each.pointer)
                self._gpu.keep_for_capture(each.owner)
            else:
                kinds += each.dtype.char
                values.append(each.item())
        stream = self._gpu.stream.native
        try:
            if shared_bytes > self._allowed:
                self._allow(shared_bytes)
            self._function.launch(stream, _three(grid), _three(block), kinds, values, shared_bytes)
        except CudaError as error:
            raise CudaError(
                f"{self._name}: launching {grid} blocks of {block} threads with {shared_bytes} "
                f"bytes of shared memory: {error}"
            ) from None

    def _allow(self, shared_bytes: int) -> None:
        with self._allowing:
            if shared_bytes > self._allowed:
                self._function.allow(shared_bytes)
                self._allowed = shared_bytes


class Gpu:
    """A GPU, shared by all threads of the process. Threads take turns in its one stream."""

    def __init__(self, context: Context, launcher: Launcher) -> None:
        context.enter()
        self.context, self.launcher = context, launcher
        self.name = context.name
        self.compute_capability = context.compute_capability
        self.multiprocessors = context.multiprocessors
        self.shared_bytes = context.shared_bytes
        self.dlpack_device = (_DLPACK_CUDA, context.ordinal)
        # A blocking stream: it and the legacy default stream, where PyTorch and CuPy work unless
        # told otherwise, wait for each other.
        self._stream = self._new_stream(0)
        self._capture = local()
        self._pool = Pool(context)
        self._modules: dict[str, Any] = {}
        self._kernels: dict[tuple[str, str], GpuKernel] = {}
        self._compiling = Lock()

    @property
    def stream(self) -> GpuStream:
        """The stream of all kernels; within `capturing`, this thread's work goes to another."""
        return getattr(self._capture, "stream", None) or self._stream

    def allocate(self, nbytes: int) -> Block:
        """Uninitialised memory. Raises CudaMemoryError where there is not enough.

        Freed memory goes to the next who asks. Who uses an array in another stream keeps it until
        the device's stream has waited for that use.
        """
        block = self._pool.take(nbytes)
        self.keep_for_capture(block)
        return block

    def keep_for_capture(self, owner: object) -> None:
        """Within `capturing`, keep what a replay will read or write."""
        if (kept := getattr(self._capture, "kept", None)) is not None:
            kept.append(owner)

    def trim(self) -> None:
        """Give freed memory back to the driver, for libraries that allocate on their own."""
        self._pool.trim()

    def pinned(self, shape: Dim, dtype: DTypeLike) -> NDArray[Any]:
        """A page-locked array on the host; keep it until copies from and to it are done.

        Raises CudaMemoryError where there is not enough.
        """
        return pinned(self.context, shape, dtype)

    def upload(self, host: NDArray[Any], pointer: int, stream: Stream | None = None) -> None:
        """Enqueue a copy of a C-contiguous array to the device."""
        source = self._host_address(host)
        handle = (stream or self.stream).handle
        if host.nbytes:
            self.context.call("cuMemcpyHtoDAsync_v2", pointer, source, host.nbytes, handle)

    def download(self, pointer: int, host: NDArray[Any], stream: Stream | None = None) -> None:
        """Enqueue a copy into a C-contiguous array; it is there after `synchronize`."""
        target = self._host_address(host)
        handle = (stream or self.stream).handle
        if host.nbytes:
            self.context.call("cuMemcpyDtoHAsync_v2", target, pointer, host.nbytes, handle)

    def copy(self, source: int, target: int, nbytes: int) -> None:
        """Enqueue a copy on the device."""
        self.context.call("cuMemcpyDtoDAsync_v2", target, source, nbytes, self.stream.handle)

    def fill(self, pointer: int, byte: int, nbytes: int) -> None:
        """Enqueue setting nbytes to one value."""
        if nbytes:
            self.context.call("cuMemsetD8Async", pointer, byte, nbytes, self.stream.handle)

    def kernel(self, file: str, name: str) -> GpuKernel:
        """The kernel of that name from `kernels/cuda/<file>.cu`, compiled for this device."""
        found = self._kernels.get((file, name))
        return found or self._loaded(file, name)

    def new_stream(self) -> GpuStream:
        """Another stream, which waits for nothing it is not told to wait for."""
        return self._new_stream(NON_BLOCKING)

    def external_stream(self, handle: int) -> GpuStream:
        """Another library's stream, by its CUstream; 1 is the legacy default stream."""
        return GpuStream(self.context, handle)

    def new_event(self, timed: bool = False) -> GpuEvent:
        """An event. Only timed ones know the time between them; others cost less."""
        return GpuEvent(self.context, timed)

    def holds(self, pointer: int) -> bool:
        """Whether an address lies in this GPU's memory."""
        try:
            return self._pointer_attribute(_DEVICE_ORDINAL, pointer) == self.context.ordinal
        except CudaError:  # the driver does not know it
            return False

    @contextmanager
    def capturing(self, stream: GpuStream) -> Iterator[list[object]]:
        """Let this thread's work go to another stream; yields what to keep for replays."""
        kept: list[object] = []
        outside = dict(self._capture.__dict__)
        self._capture.__dict__.update(stream=stream, kept=kept)
        try:
            yield kept
        finally:
            self._capture.__dict__.clear()
            self._capture.__dict__.update(outside)

    def _loaded(self, file: str, name: str) -> GpuKernel:
        with self._compiling:
            if file not in self._modules:
                self._modules[file] = self._module(file)
            function = self.launcher.function(self._modules[file], name)
            return self._kernels.setdefault((file, name), GpuKernel(self, name, function))

    def _module(self, file: str) -> Any:
        cubin = cubins.cubin(file, "sm_{}{}".format(*self.compute_capability))
        try:
            return self.launcher.load(cubin)
        except CudaError as error:
            raise CudaError(
                f"the driver does not take {file}.cu as it was compiled: {error}; it takes what a "
                "compiler of its own CUDA version or an older one makes: update the driver, or "
                "install an older NVRTC or CUDA toolkit"
            ) from None

    def _new_stream(self, flags: int) -> GpuStream:
        native = self.launcher.stream(flags)
        return GpuStream(self.context, native.handle, native)

    def _host_address(self, host: NDArray[Any]) -> int:
        if not host.flags.c_contiguous:
            raise ValueError("copies need a C-contiguous array of the host: np.ascontiguousarray")
        if getattr(self._capture, "stream", None) and not self._is_pinned(host.ctypes.data):
            raise ValueError(
                "a graph copies from and to page-locked arrays only: take them from Device.pinned"
            )
        return host.ctypes.data

    def _is_pinned(self, pointer: int) -> bool:
        try:
            return bool(self._pointer_attribute(_MEMORY_TYPE, pointer))
        except CudaError:  # the driver does not know it
            return False

    def _pointer_attribute(self, attribute: int, pointer: int) -> int:
        self.context.enter()
        return libcuda.integer("cuPointerGetAttribute", attribute, pointer)


def _three(dim: Dim) -> tuple[int, int, int]:
    x, y, z = (*dim, 1, 1)[:3]
    return x, y, z
