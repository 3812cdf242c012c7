"""DLPack capsules: arrays handed from one library to another without a copy.

The structures are those of dlpack.h 1.0 and of the ABI before it, which still is what libraries
give to who asks for no version. https://dmlc.github.io/dlpack/latest/c_api.html
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from ctypes import POINTER, c_int32, c_int64, c_uint8, c_uint16, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

VERSION = (1, 0)
_READ_ONLY = 1
_LETTERS = {0: "i", 1: "u", 2: "f", 5: "c", 6: "b"}  # numpy's by DLDataTypeCode


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", c_void_p),
        ("device_type", c_int32),
        ("device_id", c_int32),
        ("ndim", c_int32),
        ("code", c_uint8),
        ("bits", c_uint8),
        ("lanes", c_uint16),
        ("shape", POINTER(c_int64)),
        ("strides", POINTER(c_int64)),
        ("byte_offset", c_uint64),
    )


class _Managed(ctypes.Structure):
    _fields_ = (("tensor", _Tensor), ("context", c_void_p), ("deleter", c_void_p))
    name = b"dltensor"


class _ManagedVersioned(ctypes.Structure):
    _fields_ = (
        ("major", c_uint32),
        ("minor", c_uint32),
        ("context", c_void_p),
        ("deleter", c_void_p),
        ("flags", c_uint64),
        ("tensor", _Tensor),
    )
    name = b"dltensor_versioned"


_USED = {kind.name: b"used_" + kind.name for kind in (_Managed, _ManagedVersioned)}
_Deleter = ctypes.CFUNCTYPE(None, c_void_p)

_python = ctypes.pythonapi
_is_valid = ctypes.PYFUNCTYPE(ctypes.c_int, c_void_p, ctypes.c_char_p)(
    ("PyCapsule_IsValid", _python)
)
_get_pointer = ctypes.PYFUNCTYPE(c_void_p, c_void_p, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", _python)
)
_set_name = ctypes.PYFUNCTYPE(ctypes.c_int, c_void_p, ctypes.c_char_p)(
    ("PyCapsule_SetName", _python)
)


@dataclass(frozen=True)
class Handed:
    """What a capsule holds. owner: gives the memory back with the last reference to it."""

    pointer: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    strides: tuple[int, ...] | None
    readonly: bool
    owner: object


class _Owner:
    """The right to another library's memory."""

    def __init__(self, managed: _Managed | _ManagedVersioned) -> None:
        self._managed = managed

    def __del__(self) -> None:
        if self._managed.deleter:
            _Deleter(self._managed.deleter)(ctypes.addressof(self._managed))


class _View:
    """An array as numpy sees it: numpy reads none of its memory, so it may be a GPU's."""

    def __init__(
        self,
        pointer: int,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        owner: object,
        readonly: bool,
    ) -> None:
        self.owner = owner
        self.__array_interface__ = {
            "version": 3,
            "shape": shape,
            "typestr": dtype.str,
            "data": (pointer, readonly),
        }


def take(capsule: object) -> Handed:
    """The array of a capsule, which is used up by this.

    Raises TypeError where it is no unused capsule or numpy has no such type (bfloat16).
    """
    managed = _managed(capsule)
    if isinstance(managed, _ManagedVersioned) and managed.major != VERSION[0]:
        raise TypeError(f"DLPack {managed.major}.{managed.minor}: this version reads 0 and 1")
    tensor = managed.tensor
    dtype = _dtype(tensor)
    _set_name(id(capsule), _USED[managed.name])
    flags = managed.flags if isinstance(managed, _ManagedVersioned) else 0
    return Handed(
        (tensor.data or 0) + tensor.byte_offset,
        tuple(tensor.shape[: tensor.ndim]),
        dtype,
        tuple(tensor.strides[: tensor.ndim]) if tensor.strides else None,
        bool(flags & _READ_ONLY),
        _Owner(managed),
    )


def give(
    pointer: int,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    device: tuple[int, int],
    owner: object,
    *,
    readonly: bool,
    versioned: bool,
) -> object:
    """A capsule of a C-contiguous array; who takes it keeps `owner` alive.

    numpy makes it, and then only the device is changed: a capsule may be dropped while an exception
    is on its way or Python ends, which only a deleter in C survives. Before 2.1 numpy makes none
    with a version, whatever is asked.

    Raises BufferError where DLPack cannot say what the array is: of a type it has not, or read-only
    without a version.
    """
    view = np.asarray(_View(pointer, shape, dtype, owner, readonly))
    capsule = _exported(view, versioned)
    tensor = _managed(capsule).tensor
    tensor.device_type, tensor.device_id = device
    return capsule


def _exported(array: NDArray[Any], versioned: bool) -> object:
    if versioned:
        with suppress(TypeError):  # numpy before 2.1
            return array.__dlpack__(max_version=VERSION)
    return array.__dlpack__()


def _managed(capsule: object) -> _Managed | _ManagedVersioned:
    kind: type[_Managed] | type[_ManagedVersioned]
    for kind in (_ManagedVersioned, _Managed):
        if _is_valid(id(capsule), kind.name):
            return kind.from_address(_get_pointer(id(capsule), kind.name))
    raise TypeError(f"{capsule!r} is no unused DLPack capsule")


def _dtype(tensor: _Tensor) -> np.dtype[Any]:
    letter = _LETTERS.get(tensor.code)
    if letter is None or tensor.lanes != 1 or tensor.bits % 8:
        raise TypeError(
            f"numpy has no type for DLPack's code {tensor.code} with {tensor.bits} bits and "
            f"{tensor.lanes} lanes (bfloat16 is code 4): convert the array to float32 or float16"
        )
    return np.dtype(f"{letter}{tensor.bits // 8}")
