"""Arrays in device memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from . import dlpack
from .device import Device

ALIGNMENT = 16  # bytes: the kernels load as many at once
_LEGACY_STREAM = 1  # CUDA's name for the default stream


@dataclass(frozen=True, eq=False)
class DeviceArray:
    """A C-contiguous array in the memory of a device.

    pointer: address of its first element. owner: what keeps the memory alive. readonly: whoever
    owns it does not want it written to.

    Other libraries take it without a copy, by DLPack or `__cuda_array_interface__`:
    `torch.from_dlpack(array)`, `cupy.asarray(array)`.
    """

    device: Device
    pointer: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    owner: object = field(repr=False)
    readonly: bool = False

    @classmethod
    def empty(cls, device: Device, shape: tuple[int, ...], dtype: DTypeLike) -> DeviceArray:
        """An uninitialised array. Raises CudaError where memory runs out."""
        kind = np.dtype(dtype)
        memory = device.allocate(max(1, prod(shape)) * kind.itemsize)
        return cls(device, memory.pointer, shape, kind, memory)

    @classmethod
    def of(cls, device: Device, array: NDArray[Any]) -> DeviceArray:
        """A copy of an array of the host."""
        host = np.asarray(array, order="C")
        made = cls.empty(device, host.shape, host.dtype)
        device.upload(host, made.pointer)
        return made

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def reshape(self, *shape: int) -> DeviceArray:
        """The same elements in another shape; one length may be -1."""
        known = prod(length for length in shape if length >= 0)
        whole = tuple(self.size // max(known, 1) if length < 0 else length for length in shape)
        if prod(whole) != self.size:
            raise ValueError(f"an array of shape {self.shape} cannot have shape {shape}")
        return DeviceArray(self.device, self.pointer, whole, self.dtype, self.owner, self.readonly)

    def rows(self) -> list[DeviceArray]:
        """The items along the first dimension, in the same memory."""
        step = self.nbytes // max(1, len(self))
        places = [self.pointer + number * step for number in range(len(self))]
        kind, owner, readonly = self.dtype, self.owner, self.readonly
        return [
            DeviceArray(self.device, each, self.shape[1:], kind, owner, readonly) for each in places
        ]

    def copy(self) -> DeviceArray:
        """A copy on the device."""
        made = DeviceArray.empty(self.device, self.shape, self.dtype)
        self.device.copy(self.pointer, made.pointer, self.nbytes)
        return made

    def numpy(self) -> NDArray[Any]:
        """A copy on the host, after everything enqueued so far is done."""
        host = np.empty(self.shape, self.dtype)
        self.device.download(self.pointer, host)
        self.device.stream.synchronize()
        return host

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "version": 3,
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.pointer if self.size else 0, self.readonly),
            "strides": None,
            "stream": self.device.stream.handle,
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device.dlpack_device

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> object:
        """A DLPack capsule of the same memory; `stream` waits for what was enqueued so far."""
        if copy or dl_device not in (None, self.device.dlpack_device):
            raise BufferError("it is given away where it lies, without a copy")
        if stream != -1:
            self._let_wait(_LEGACY_STREAM if stream is None else stream)
        return dlpack.give(
            self.pointer,
            self.shape,
            self.dtype,
            self.device.dlpack_device,
            self.owner,
            readonly=self.readonly,
            versioned=max_version is not None and max_version[0] >= dlpack.VERSION[0],
        )

    def _let_wait(self, stream: int) -> None:
        done = self.device.new_event()
        done.record(self.device.stream)
        self.device.external_stream(stream).wait(done)
