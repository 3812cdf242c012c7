"""Arrays of other libraries, taken without a copy."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from . import dlpack
from .arrays import ALIGNMENT, DeviceArray
from .device import Device

_HOST, _CUDA, _MANAGED = 1, 2, 13  # of DLDeviceType


def as_device_array(array: Any, device: Device) -> DeviceArray:
    """An array of PyTorch, CuPy, Numba, JAX, … as a DeviceArray of the same memory.

    Taken by DLPack, else by `__cuda_array_interface__`; a DeviceArray is returned as it is. What
    its library enqueued on its current stream is waited for on the device, not by the host. The
    DeviceArray keeps the memory alive, and stays read-only where it was.

    Raises TypeError where it is no array of a GPU or of a type that numpy has not (bfloat16), and
    ValueError where it lies on another device, is not C-contiguous or not aligned to 16 bytes. Its
    library may refuse too, as PyTorch does with tensors that require a gradient (BufferError).
    """
    if isinstance(array, DeviceArray):
        if array.device is not device:
            raise ValueError("the array belongs to another device")
        return array
    if hasattr(array, "__dlpack_device__"):
        return _by_dlpack(array, device)
    if hasattr(array, "__cuda_array_interface__"):
        return _by_interface(array, device)
    raise TypeError(
        f"{type(array).__name__} is no array on a GPU: it has neither __dlpack__ nor "
        "__cuda_array_interface__; arrays of the host are copied with DeviceArray.of"
    )


def _by_dlpack(array: Any, device: Device) -> DeviceArray:
    kind, number = (int(each) for each in array.__dlpack_device__())
    expected_kind, expected = device.dlpack_device
    if kind == _HOST != expected_kind:
        raise TypeError(
            f"{type(array).__name__} is on the host: copy it to the GPU first (DeviceArray.of, or "
            ".cuda() of PyTorch)"
        )
    if kind != expected_kind and (kind, expected_kind) != (_MANAGED, _CUDA):
        raise TypeError(f"{type(array).__name__} is on a device of DLPack's type {kind}, not CUDA")
    if number != expected:
        raise _wrong_device(number, expected)
    stream = None if expected_kind == _HOST else device.stream.handle
    try:
        capsule = array.__dlpack__(stream=stream, max_version=dlpack.VERSION)
    except TypeError:  # from before DLPack 1.0
        capsule = array.__dlpack__(stream=stream)
    handed = dlpack.take(capsule)
    steps = None
    if handed.strides is not None:
        steps = tuple(step * handed.dtype.itemsize for step in handed.strides)
    return _checked(
        device, handed.pointer, handed.shape, handed.dtype, steps, handed.owner, handed.readonly
    )


def _by_interface(array: Any, device: Device) -> DeviceArray:
    described = array.__cuda_array_interface__
    pointer, readonly = described["data"]
    shape, dtype = tuple(described["shape"]), np.dtype(described["typestr"])
    if described.get("mask") is not None:
        raise TypeError("arrays with a mask are not taken: fill it first")
    if dtype.kind not in "iufb" or not dtype.isnative:
        raise TypeError(f"arrays of {dtype} are not taken: convert it to float32 or float16")
    if prod(shape) and not device.holds(pointer):
        raise _wrong_device("another GPU", device.dlpack_device[1])
    stream = described.get("stream")
    if stream is not None:
        written = device.new_event()
        written.record(device.external_stream(stream))
        device.stream.wait(written)
    return _checked(device, pointer, shape, dtype, described.get("strides"), array, readonly)


def _checked(
    device: Device,
    pointer: int,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    steps: tuple[int, ...] | None,
    owner: object,
    readonly: bool,
) -> DeviceArray:
    if steps is not None and not _contiguous(shape, steps, dtype.itemsize):
        raise ValueError(
            f"an array of shape {shape} with strides of {tuple(steps)} bytes is not C-contiguous: "
            "make it so (.contiguous() of PyTorch, ascontiguousarray of CuPy)"
        )
    if pointer % ALIGNMENT and prod(shape):
        raise ValueError(
            f"an array of shape {shape} starts at an address that is no multiple of {ALIGNMENT} "
            "bytes: copy it (.clone() of PyTorch, .copy() of CuPy)"
        )
    return DeviceArray(device, pointer, shape, dtype, owner, readonly)


def _contiguous(shape: tuple[int, ...], steps: tuple[int, ...], itemsize: int) -> bool:
    expected = itemsize
    for length, step in zip(reversed(shape), reversed(steps), strict=True):
        if length == 0:
            return True
        if length > 1 and step != expected:
            return not all(shape)
        expected *= length
    return True


def _wrong_device(found: object, expected: int) -> ValueError:
    return ValueError(
        f"the array is on GPU {found}, the kernels run on GPU {expected}: move it there, or choose "
        "the GPU with CUDA_VISIBLE_DEVICES"
    )
