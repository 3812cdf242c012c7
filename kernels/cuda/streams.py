"""Streams and events of the GPU."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from dataclasses import dataclass

from .context import Context
from .device import Event, Stream
from .errors import CudaError

_DISABLE_TIMING = 2


@dataclass(frozen=True)
class GpuStream:
    """A stream. native: the launcher's own object for it, which is None for other libraries'."""

    context: Context
    handle: int
    native: object = None

    def wait(self, event: Event) -> None:
        """Let all later work wait for an event of another stream."""
        assert isinstance(event, GpuEvent)
        self.context.call("cuStreamWaitEvent", self.handle, event.handle, 0)

    def synchronize(self) -> None:
        """Wait until everything in the stream is done. Raises CudaError where it failed."""
        self.context.call("cuStreamSynchronize", self.handle)


class GpuEvent:
    """An event."""

    def __init__(self, context: Context, timed: bool) -> None:
        flags = 0 if timed else _DISABLE_TIMING
        self._context, self.handle = context, context.handle("cuEventCreate", flags)

    def __del__(self) -> None:
        with suppress(CudaError, AttributeError):  # the driver may be gone, or it was never made
            self._context.destroy("cuEventDestroy_v2", self.handle)

    def record(self, stream: Stream) -> None:
        """Set the moment: when everything that is in the stream by now is done."""
        self._context.call("cuEventRecord", self.handle, stream.handle)

    def synchronize(self) -> None:
        """Wait for it. Raises CudaError where something before it failed."""
        self._context.call("cuEventSynchronize", self.handle)

    def milliseconds_since(self, earlier: Event) -> float:
        """The time between two recorded moments of timed events, after both have come."""
        assert isinstance(earlier, GpuEvent)
        time = ctypes.c_float()
        moments = earlier.handle, self.handle
        self._context.call("cuEventElapsedTime", ctypes.byref(time), *moments)
        return time.value
