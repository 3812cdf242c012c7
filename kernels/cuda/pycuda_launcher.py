"""Kernels launched through PyCUDA.

It works in the primary context, as `pycuda.autoprimaryctx` does. That module itself is not used: it
leaves the context pushed in the thread that imports it, and the process aborts where such a thread
ends. PyCUDA's own stack of contexts is needed only where it makes an object.
"""

from __future__ import annotations

import ctypes
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import version
from threading import local
from typing import Any

from .context import Context
from .errors import CudaError


class PyCudaLauncher:
    """PyCUDA."""

    def __init__(self, context: Context) -> None:
        import pycuda.driver

        self.title = f"PyCUDA {version('pycuda')}"
        self._context, self._driver = context, pycuda.driver
        self._driver.init()
        self._thread = local()
        self._unused: defaultdict[int, list[Any]] = defaultdict(list)
        self._device = self._driver.Device(context.ordinal)

    def stream(self, flags: int) -> _Stream:
        """A stream: one that nobody uses any more, or a new one."""
        unused = self._unused[flags]
        with suppress(IndexError):
            return _Stream(unused, unused.pop())
        with self._made_here("a stream"):
            return _Stream(unused, _kept(self._driver.Stream(flags)))

    def load(self, cubin: bytes) -> Any:
        """A module."""
        with self._made_here("loading a cubin"):
            return _kept(self._driver.module_from_buffer(cubin))

    def function(self, module: Any, name: str) -> PyCudaFunction:
        """A kernel of a module."""
        with self._made_here(name):
            return PyCudaFunction(self._context, self._driver, module, name)

    @contextmanager
    def _made_here(self, what: str) -> Iterator[None]:
        try:
            context = self._thread_context()
            context.push()
            try:
                yield
            finally:
                context.pop()
        except self._driver.Error as error:
            raise CudaError(f"{what}: {error}") from None

    def _thread_context(self) -> Any:
        """This thread's view of the primary context, which PyCUDA uses in no other thread."""
        if not hasattr(self._thread, "context"):
            self._thread.context = _kept(self._device.retain_primary_context())
        return self._thread.context


class _Stream:
    """A stream of PyCUDA; the next may use it when the last reference goes."""

    def __init__(self, unused: list[Any], native: Any) -> None:
        self._unused, self.native, self.handle = unused, native, native.handle

    def __del__(self) -> None:
        self._unused.append(self.native)


class PyCudaFunction:
    """A kernel.

    PyCUDA writes the kinds of the arguments into its function when it prepares it. So each list of
    kinds has a function of its own, which no thread launches before it is prepared.
    """

    def __init__(self, context: Context, driver: Any, module: Any, name: str) -> None:
        self._context, self._driver = context, driver
        self._function = module.get_function(name)
        self._prepared = cache(lambda kinds: module.get_function(name).prepare(kinds))

    def allow(self, shared_bytes: int) -> None:
        """Allow launches with so much dynamic shared memory."""
        most = self._driver.function_attribute.MAX_DYNAMIC_SHARED_SIZE_BYTES
        self._context.enter()
        try:
            self._function.set_attribute(most, shared_bytes)
        except self._driver.Error as error:
            raise CudaError(str(error)) from None

    def launch(
        self,
        stream: _Stream,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        kinds: str,
        values: Sequence[float],
        shared_bytes: int,
    ) -> None:
        """Enqueue it."""
        self._context.enter()
        try:
            self._prepared(kinds).prepared_async_call(
                grid, block, stream.native, *values, shared_size=shared_bytes
            )
        except self._driver.Error as error:
            raise CudaError(str(error)) from None


def _kept(made: Any) -> Any:
    """Keep an object of PyCUDA to the end of the process.

    It destroys streams and modules only in the thread that made them, and would detach a primary
    context as if it were its own.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(made))
    return made
