"""Which side an operation runs on: where its arrays are."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import numpy as np

from .cuda.arrays import DeviceArray

DLPACK_CUDA = {2, 13}  # kDLCUDA, kDLCUDAManaged


class CudaArray(Protocol):
    """An array in a GPU's memory, as torch, CuPy, Numba and JAX offer theirs."""

    @property
    def __cuda_array_interface__(self) -> Any: ...


OnDevice: TypeAlias = DeviceArray | CudaArray


def on_device(**arrays: object) -> bool:
    """Whether the arrays lie in a GPU's memory: all of them, or none.

    Raises TypeError where some do and some do not.
    """
    places = {name: _is_on_device(array) for name, array in arrays.items()}
    if len(set(places.values())) > 1:
        device = [name for name, there in places.items() if there]
        host = [name for name, there in places.items() if not there]
        raise TypeError(
            f"{', '.join(device)} on the GPU and {', '.join(host)} on the host cannot be used "
            "together; bring all to one side"
        )
    return any(places.values())


def check_host(**arrays: tuple[Any, int]) -> None:
    """Raise where an array is not numpy's, lacks a dimension, or has other channels than the first.

    arrays: each with the number of its dimensions, the last being the channels.
    """
    channels = None
    for name, (array, dimensions) in arrays.items():
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{name} is a {type(array).__name__}; give numpy or GPU arrays")
        if array.ndim != dimensions:
            raise ValueError(f"{name} has shape {array.shape}; {dimensions} dimensions are taken")
        if channels not in (None, array.shape[-1]):
            raise ValueError(f"{name} has {array.shape[-1]} channels and the first {channels}")
        channels = array.shape[-1]


def device_arrays(*arrays: OnDevice) -> list[DeviceArray]:
    """The same memory as DeviceArrays, on the device of those that are ones already.

    Raises CudaError where there is no usable GPU.
    """
    from .cuda.foreign import as_device_array
    from .cuda.open import open_device

    known = [each.device for each in arrays if isinstance(each, DeviceArray)]
    device = known[0] if known else open_device()
    return [as_device_array(each, device) for each in arrays]


def _is_on_device(array: object) -> bool:
    if isinstance(array, DeviceArray):
        return True
    place = getattr(array, "__dlpack_device__", None)
    if place is not None:
        return place()[0] in DLPACK_CUDA
    return hasattr(array, "__cuda_array_interface__")
