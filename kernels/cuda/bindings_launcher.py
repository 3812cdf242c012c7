"""Kernels launched through NVIDIA's cuda-bindings.

The driver's functions as they are: cuda-core's objects above them would each be undone here, for
memory, streams and arguments have their own classes in this package.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np

from .context import Context
from .errors import CudaError
from .launcher import NativeStream


class _Stream:
    """A stream, destroyed with the last reference to it."""

    def __init__(self, context: Context, flags: int) -> None:
        self._context, self.handle = context, context.handle("cuStreamCreate", flags)

    def __del__(self) -> None:
        with suppress(CudaError, AttributeError):  # the driver may be gone, or it was never made
            self._context.destroy("cuStreamDestroy_v2", self.handle)


class BindingsLauncher:
    """NVIDIA's cuda-bindings."""

    def __init__(self, context: Context) -> None:
        from cuda.bindings import driver

        self.title = f"cuda-bindings {version('cuda-bindings')}"
        self._context, self._driver = context, driver

    def stream(self, flags: int) -> _Stream:
        """A new stream."""
        return _Stream(self._context, flags)

    def load(self, cubin: bytes) -> Any:
        """A module."""
        self._context.enter()
        return self._done(self._driver.cuModuleLoadData(cubin), "loading a cubin")

    def function(self, module: Any, name: str) -> BindingsFunction:
        """A kernel of a module."""
        self._context.enter()
        handle = self._done(self._driver.cuModuleGetFunction(module, name.encode()), name)
        return BindingsFunction(self._context, self._driver, handle)

    def _done(self, result: tuple[Any, Any], what: str) -> Any:
        code, value = result
        if code:
            raise CudaError(f"{what}: {_described(self._driver, code)}")
        return value


class BindingsFunction:
    """A kernel."""

    def __init__(self, context: Context, driver: Any, handle: Any) -> None:
        self._context, self._driver, self._handle = context, driver, handle

    def allow(self, shared_bytes: int) -> None:
        """Allow launches with so much dynamic shared memory."""
        kinds = self._driver.CUfunction_attribute
        kind = kinds.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        self._context.enter()
        self._check(self._driver.cuFuncSetAttribute(self._handle, kind, shared_bytes))

    def launch(
        self,
        stream: NativeStream,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        kinds: str,
        values: Sequence[float],
        shared_bytes: int,
    ) -> None:
        """Enqueue it."""
        arguments = (tuple(values), _c_types(kinds))
        self._context.enter()
        self._check(
            self._driver.cuLaunchKernel(
                self._handle, *grid, *block, shared_bytes, stream.handle, arguments, 0
            )
        )

    def _check(self, result: tuple[Any]) -> None:
        [code] = result
        if code:
            raise CudaError(_described(self._driver, code))


@cache
def _c_types(kinds: str) -> tuple[Any, ...]:
    return tuple(np.ctypeslib.as_ctypes_type(np.dtype(kind)) for kind in kinds)


def _described(driver: Any, code: Any) -> str:
    text: bytes = driver.cuGetErrorString(code)[1]
    return f"{code.name} ({text.decode()})"
