"""The primary context of a GPU, which PyTorch, CuPy and TensorRT use too."""

from __future__ import annotations

import ctypes
from functools import cached_property
from typing import Any

from . import libcuda

_MULTIPROCESSORS, _CAPABILITY_MAJOR, _CAPABILITY_MINOR, _SHARED_OPT_IN = 16, 75, 76, 97


class Context:
    """The GPU of a number; its primary context is retained from the first use to the end."""

    def __init__(self, ordinal: int) -> None:
        self.ordinal = ordinal
        self._device = libcuda.integer("cuDeviceGet", ordinal)

    @cached_property
    def _handle(self) -> int:
        return libcuda.handle("cuDevicePrimaryCtxRetain", self._device)

    @property
    def name(self) -> str:
        """The name of the GPU."""
        text = ctypes.create_string_buffer(256)
        libcuda.call("cuDeviceGetName", text, len(text), self._device)
        return text.value.decode()

    @property
    def compute_capability(self) -> tuple[int, int]:
        """(9, 0) for sm_90."""
        return self._attribute(_CAPABILITY_MAJOR), self._attribute(_CAPABILITY_MINOR)

    @property
    def multiprocessors(self) -> int:
        """The number of multiprocessors."""
        return self._attribute(_MULTIPROCESSORS)

    @property
    def shared_bytes(self) -> int:
        """The most shared memory that a block may ask for."""
        return self._attribute(_SHARED_OPT_IN)

    def enter(self) -> None:
        """Make it this thread's current context, and leave it so.

        Each call of the driver begins so: other libraries change the current context too, as
        `torch.cuda.set_device` does.
        """
        libcuda.call("cuCtxSetCurrent", self._handle)

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function of the driver in this context."""
        self.enter()
        libcuda.call(name, *arguments)

    def handle(self, name: str, *arguments: Any) -> int:
        """The handle or address that a function of the driver makes in this context."""
        self.enter()
        return libcuda.handle(name, *arguments)

    def destroy(self, name: str, made: int) -> None:
        """Call the function of the driver that destroys what was made in this context.

        Python may do so at any moment, in any thread: its current context stays what it is.
        """
        libcuda.call("cuCtxPushCurrent_v2", self._handle)
        try:
            libcuda.call(name, made)
        finally:
            libcuda.call("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))

    def _attribute(self, number: int) -> int:
        return libcuda.integer("cuDeviceGetAttribute", number, self._device)
