"""CUDA graphs: work recorded once, and enqueued again in one call."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import suppress
from threading import Lock

from .errors import CudaError
from .gpu import Gpu

_RELAXED = 2


class CudaGraph:
    """What a function enqueues, recorded.

    It is recorded in a stream of its own, which `device.stream` gives while the function runs, so
    that another library's work is recorded too where it is told to use that stream (TensorRT:
    `execute_async_v3(device.stream.handle)`). Other threads go on meanwhile.

    Addresses are recorded: inputs and outputs stay where they are. The graph keeps the arrays that
    kernels were launched with and what the function allocates; what other libraries were given, the
    caller keeps. Call the function once before, so that nothing is
    compiled or initialised while it is recorded.
    """

    def __init__(self, device: Gpu, function: Callable[[], object]) -> None:
        """Record a function. Raises CudaError where it does what cannot be recorded.

        Waiting for the device and copies from or to pageable memory cannot.
        """
        self._device, self._replaying = device, Lock()
        stream = device.new_stream()
        with device.capturing(stream) as self._memory:
            device.context.call("cuStreamBeginCapture_v2", stream.handle, _RELAXED)
            try:
                function()
            except BaseException:
                with suppress(CudaError):  # the first error says more
                    self._destroy(self._recorded(stream.handle))
                raise
            graph = self._recorded(stream.handle)
        try:
            self._executable = device.context.handle("cuGraphInstantiateWithFlags", graph, 0)
        finally:
            self._destroy(graph)

    def __del__(self) -> None:
        with suppress(CudaError, AttributeError):  # the driver may be gone, or it was never made
            self._device.context.destroy("cuGraphExecDestroy", self._executable)

    def replay(self) -> None:
        """Enqueue all of it on the device's stream."""
        with self._replaying:  # the driver does not lock a graph
            handle = self._device.stream.handle
            self._device.context.call("cuGraphLaunch", self._executable, handle)

    def _recorded(self, stream: int) -> int:
        graph = ctypes.c_void_p()
        self._device.context.call("cuStreamEndCapture", stream, ctypes.byref(graph))
        return graph.value or 0

    def _destroy(self, graph: int) -> None:
        self._device.context.call("cuGraphDestroy", graph)
