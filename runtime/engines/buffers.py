"""Whether a model's inputs are what it takes, and memory for its outputs on a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ...kernels.cuda.arrays import DeviceArray
from ..errors import InputError
from ..manifest import Model, Tensor

if TYPE_CHECKING:
    from ...kernels.cuda.gpu import Gpu


def shape_of(tensor: Tensor, batch: int) -> tuple[int, ...]:
    """A tensor's shape at a batch size, the only dimension that may be free."""
    lengths = [length for length in tensor.shape[1:] if isinstance(length, int)]
    if len(lengths) < len(tensor.shape) - 1:
        raise InputError(f"{tensor.name}: more than its batch is free; use --device cpu")
    return batch, *lengths


def allocated(model: Model, batch: int, gpu: Gpu) -> dict[str, DeviceArray]:
    """Arrays for a model's outputs. Raises CudaError where memory runs out."""
    return {
        tensor.name: DeviceArray.empty(gpu, shape_of(tensor, batch), tensor.dtype)
        for tensor in model.outputs
    }


def first_rows(array: DeviceArray, count: int) -> DeviceArray:
    """The first rows of an array, in the same memory."""
    shape = count, *array.shape[1:]
    return DeviceArray(array.device, array.pointer, shape, array.dtype, array.owner, array.readonly)


def batch_of(model: Model, inputs: Mapping[str, DeviceArray | NDArray[Any]]) -> int:
    """The batch size of a model's inputs. Raises InputError where they are not what it takes."""
    batch = len(inputs[model.inputs[0].name])
    for tensor in model.inputs:
        array, expected = inputs[tensor.name], shape_of(tensor, batch)
        if array.shape != expected or array.dtype != tensor.dtype:
            raise InputError(
                f"{tensor.name}: {array.dtype} {array.shape}, where {tensor.dtype} {expected} "
                "is taken"
            )
    return batch
