"""Which side an operation runs on: where its arrays are."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

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
    if isinstance(array, DeviceArray) or hasattr(array, "__cuda_array_interface__"):
        return True
    place = getattr(array, "__dlpack_device__", None)
    return place is not None and place()[0] in DLPACK_CUDA
