"""What differs between PyCUDA and NVIDIA's bindings: how cubins are loaded and kernels launched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from .context import Context

NON_BLOCKING = 1


class NativeStream(Protocol):
    """A stream of a launcher, destroyed with the last reference to it."""

    @property
    def handle(self) -> int:
        """The CUstream."""


class Function(Protocol):
    """A kernel as a launcher has it."""

    def allow(self, shared_bytes: int) -> None:
        """Allow launches with so much dynamic shared memory. Raises CudaError."""

    def launch(
        self,
        stream: Any,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        kinds: str,
        values: Sequence[float],
        shared_bytes: int,
    ) -> None:
        """Enqueue it in a stream of its launcher. Raises CudaError where it is refused.

        kinds: a character per argument, as numpy names types; P is a pointer.
        """


class Launcher(Protocol):
    """PyCUDA or NVIDIA's bindings."""

    title: str

    def __init__(self, context: Context) -> None: ...

    def stream(self, flags: int) -> NativeStream:
        """A new stream, which waits for the legacy default stream unless NON_BLOCKING."""

    def load(self, cubin: bytes) -> Any:
        """A module. Raises CudaError where the driver does not take it."""

    def function(self, module: Any, name: str) -> Function:
        """A kernel of a module. Raises CudaError where there is none of that name."""
