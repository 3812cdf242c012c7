"""A kernel's arguments, held against its parameters: a GPU takes any bytes for any of them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from geoaware.kernels.cuda.arrays import DeviceArray
from geoaware.kernels.cuda.errors import CudaError


class Parameters(NamedTuple):
    """kernel: its name. types: as include/entry.hpp names them."""

    kernel: str
    types: list[str]


def packed(arguments: Sequence[Any], parameters: Parameters) -> tuple[Any, list[Any]]:
    """The array of pointers that a launch takes, and the values it points at."""
    if len(arguments) != len(parameters.types):
        raise CudaError(
            f"{parameters.kernel} takes {len(parameters.types)} arguments, got {len(arguments)}"
        )
    values = []
    for number, (argument, kind) in enumerate(zip(arguments, parameters.types, strict=True), 1):
        if not _fits(argument, kind):
            raise CudaError(
                f"{parameters.kernel}: parameter {number} is {kind}, got {_kind(argument)}"
            )
        is_array = isinstance(argument, DeviceArray)
        value = np.uintp(argument.pointer) if is_array else argument
        values.append(ctypes.create_string_buffer(value.tobytes(), value.nbytes))
    return (ctypes.c_void_p * len(values))(*map(ctypes.addressof, values)), values


def _kind(argument: Any) -> str:
    if isinstance(argument, DeviceArray):
        return "*" + argument.dtype.str
    return argument.dtype.str if isinstance(argument, np.generic) else type(argument).__name__


def _fits(argument: Any, kind: str) -> bool:
    if kind.startswith("*"):
        if isinstance(argument, np.uintp):
            return True
        return isinstance(argument, DeviceArray) and _same(argument.dtype, kind[1:])
    return isinstance(argument, np.generic) and _same(argument.dtype, kind)


def _same(dtype: np.dtype[Any], kind: str) -> bool:
    """Whole numbers of one size count as the same, and a struct of the kernel takes anything."""
    if kind == "?":
        return True
    other = np.dtype(kind)
    return dtype.itemsize == other.itemsize and (dtype.kind == "f") == (other.kind == "f")
