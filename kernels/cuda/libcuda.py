"""The CUDA driver, called directly.

Memory, copies, streams, events and graphs are the same calls whatever launches the kernels. PyCUDA
binds what it makes to the thread that made it (freed by another thread, it leaks) and captures no
graphs; so both launchers share these.
"""

from __future__ import annotations

import ctypes
import os
import sys
from ctypes import (
    POINTER,
    c_char_p,
    c_float,
    c_int,
    c_size_t,
    c_ubyte,
    c_uint,
    c_ulonglong,
    c_void_p,
)
from functools import cache
from typing import Any

from .errors import CudaError, CudaMemoryError, NoDriverError

LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
OUT_OF_MEMORY = 2

_ADDRESS, _HANDLE = c_ulonglong, c_void_p
_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cuInit": (c_uint,),
    "cuDriverGetVersion": (POINTER(c_int),),
    "cuDeviceGet": (POINTER(c_int), c_int),
    "cuDeviceGetName": (c_char_p, c_int, c_int),
    "cuDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cuDevicePrimaryCtxRetain": (POINTER(_HANDLE), c_int),
    "cuCtxSetCurrent": (_HANDLE,),
    "cuCtxPushCurrent_v2": (_HANDLE,),
    "cuCtxPopCurrent_v2": (POINTER(_HANDLE),),
    "cuMemAlloc_v2": (POINTER(_ADDRESS), c_size_t),
    "cuMemFree_v2": (_ADDRESS,),
    "cuMemHostAlloc": (POINTER(c_void_p), c_size_t, c_uint),
    "cuMemFreeHost": (c_void_p,),
    "cuMemcpyHtoDAsync_v2": (_ADDRESS, c_void_p, c_size_t, _HANDLE),
    "cuMemcpyDtoHAsync_v2": (c_void_p, _ADDRESS, c_size_t, _HANDLE),
    "cuMemcpyDtoDAsync_v2": (_ADDRESS, _ADDRESS, c_size_t, _HANDLE),
    "cuMemsetD8Async": (_ADDRESS, c_ubyte, c_size_t, _HANDLE),
    "cuPointerGetAttribute": (c_void_p, c_int, _ADDRESS),
    "cuStreamCreate": (POINTER(_HANDLE), c_uint),
    "cuStreamDestroy_v2": (_HANDLE,),
    "cuStreamSynchronize": (_HANDLE,),
    "cuStreamWaitEvent": (_HANDLE, _HANDLE, c_uint),
    "cuStreamBeginCapture_v2": (_HANDLE, c_int),
    "cuStreamEndCapture": (_HANDLE, POINTER(_HANDLE)),
    "cuEventCreate": (POINTER(_HANDLE), c_uint),
    "cuEventDestroy_v2": (_HANDLE,),
    "cuEventRecord": (_HANDLE, _HANDLE),
    "cuEventSynchronize": (_HANDLE,),
    "cuEventElapsedTime": (POINTER(c_float), _HANDLE, _HANDLE),
    "cuGraphInstantiateWithFlags": (POINTER(_HANDLE), _HANDLE, c_ulonglong),
    "cuGraphLaunch": (_HANDLE, _HANDLE),
    "cuGraphDestroy": (_HANDLE,),
    "cuGraphExecDestroy": (_HANDLE,),
}


def call(name: str, *arguments: Any) -> None:
    """Call a function of the driver. Raises CudaError where it fails or there is no driver."""
    code = _function(name)(*arguments)
    if code:
        kind = CudaMemoryError if code == OUT_OF_MEMORY else CudaError
        raise kind(f"{name}: {_message(code)}")


def integer(name: str, *arguments: Any) -> int:
    """The integer that a function of the driver writes to its first parameter."""
    value = c_int()
    call(name, ctypes.byref(value), *arguments)
    return value.value


def handle(name: str, *arguments: Any) -> int:
    """The handle or address that a function of the driver writes to its first parameter."""
    value = _function(name).argtypes[0]._type_()
    call(name, ctypes.byref(value), *arguments)
    return value.value or 0


def initialise() -> None:
    """Load and start the driver. Raises CudaError where there is none or it finds no GPU."""
    _library()
    try:
        call("cuInit", 0)
    except CudaError as error:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        seen = "" if visible is None else f" (CUDA_VISIBLE_DEVICES is {visible!r})"
        raise CudaError(f"no usable GPU{seen}: {error}; nvidia-smi shows what is there") from None


@cache
def _function(name: str) -> Any:
    function = getattr(_library(), name)
    function.argtypes, function.restype = _SIGNATURES[name], c_int
    return function


@cache
def _library() -> ctypes.CDLL:
    try:
        return ctypes.CDLL(LIBRARY)
    except OSError:
        raise NoDriverError(
            f"no NVIDIA driver: {LIBRARY} is not found; install the GPU's driver, "
            "or start the container with its GPUs (docker run --gpus all)"
        ) from None


def _message(code: int) -> str:
    parts = []
    for function in (_library().cuGetErrorName, _library().cuGetErrorString):
        text = c_char_p()
        function(code, ctypes.byref(text))
        parts.append(text.value.decode() if text.value else f"error {code}")
    return f"{parts[0]} ({parts[1]})"
