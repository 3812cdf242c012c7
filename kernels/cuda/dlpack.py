"""DLPack capsules: arrays handed from one library to another without a copy.

The structures are those of dlpack.h 1.0 and of the ABI before it, which still is what libraries
give to who asks for no version. https://dmlc.github.io/dlpack/latest/c_api.html
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_int32, c_int64, c_uint8, c_uint16, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

VERSION = (1, 0)
_READ_ONLY = 1
_KINDS = {"i": 0, "u": 1, "f": 2, "c": 5, "b": 6}  # DLDataTypeCode by numpy's kind


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


_KIND = type[_Managed] | type[_ManagedVersioned]
_Deleter = ctypes.CFUNCTYPE(None, c_void_p)
_Destructor = ctypes.PYFUNCTYPE(None, c_void_p)

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
_new_capsule = ctypes.PYFUNCTYPE(ctypes.py_object, c_void_p, ctypes.c_char_p, _Destructor)(
    ("PyCapsule_New", _python)
)

# What was handed out and not given back: address of the structure → it, and what it needs.
_handed_out: dict[int, tuple[object, ...]] = {}


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


def take(capsule: object) -> Handed:
    """The array of a capsule, which is used up by this.

    Raises TypeError where it is no unused capsule or numpy has no such type (bfloat16).
    """
    address = id(capsule)
    kind: _KIND
    for kind in (_ManagedVersioned, _Managed):
        if _is_valid(address, kind.name):
            break
    else:
        raise TypeError(f"{capsule!r} is no unused DLPack capsule")
    managed = kind.from_address(_get_pointer(address, kind.name))
    if isinstance(managed, _ManagedVersioned) and managed.major != VERSION[0]:
        raise TypeError(f"DLPack {managed.major}.{managed.minor}: this version reads 0 and 1")
    tensor = managed.tensor
    dtype = _dtype(tensor)
    _set_name(address, _USED[kind.name])
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

    Raises BufferError where DLPack cannot say what the array is.
    """
    if dtype.kind not in _KINDS:
        raise BufferError(f"DLPack has no type {dtype}")
    if readonly and not versioned:
        raise BufferError("a read-only array needs DLPack 1.0: ask with max_version=(1, 0)")
    kind: _KIND = _ManagedVersioned if versioned else _Managed
    managed = kind()
    lengths = (c_int64 * len(shape))(*shape)
    strides = (c_int64 * len(shape))(*[prod(shape[i + 1 :]) for i in range(len(shape))])
    managed.tensor = _Tensor(
        pointer, *device, len(shape), _KINDS[dtype.kind], 8 * dtype.itemsize, 1, lengths, strides, 0
    )
    managed.deleter = ctypes.cast(_give_back, c_void_p)
    if isinstance(managed, _ManagedVersioned):
        managed.major, managed.minor = VERSION
        managed.flags = _READ_ONLY * readonly
    address = ctypes.addressof(managed)
    _handed_out[address] = (managed, lengths, strides, owner)
    return _new_capsule(address, kind.name, _destroy)


def _dtype(tensor: _Tensor) -> np.dtype[Any]:
    letters = {code: letter for letter, code in _KINDS.items()}
    letter = letters.get(tensor.code)
    if letter is None or tensor.lanes != 1 or tensor.bits % 8:
        raise TypeError(
            f"numpy has no type for DLPack's code {tensor.code} with {tensor.bits} bits and "
            f"{tensor.lanes} lanes (bfloat16 is code 4): convert the array to float32 or float16"
        )
    return np.dtype(f"{letter}{tensor.bits // 8}")


_USED = {kind.name: b"used_" + kind.name for kind in (_Managed, _ManagedVersioned)}


def _forget(address: int, handed_out: dict[int, tuple[object, ...]] = _handed_out) -> None:
    handed_out.pop(address, None)


def _forget_unused(capsule: int) -> None:
    for kind in (_Managed, _ManagedVersioned):
        if _is_valid(capsule, kind.name):  # nobody took it
            _forget(_get_pointer(capsule, kind.name))


_give_back, _destroy = _Deleter(_forget), _Destructor(_forget_unused)

# Arrays may be given back while the interpreter ends and modules lose their names.
for _callback in (_give_back, _destroy):
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(_callback))
