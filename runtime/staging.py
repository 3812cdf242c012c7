"""Images on their way to the GPU, while it computes on those before."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..kernels.cuda.arrays import DeviceArray
from ..kernels.cuda.device import Device

Pixels = NDArray[np.uint8]

ALIGNMENT = 256


class Slot:
    """Page-locked memory on the host and as much on the device: the place of some images."""

    def __init__(self, device: Device) -> None:
        self._device, self._stream = device, device.new_stream()
        self._uploaded, self._read = device.new_event(), device.new_event()
        self._host = device.pinned((0,), np.uint8)
        self._there: DeviceArray | None = None

    def put(self, images: Sequence[Pixels]) -> list[DeviceArray]:
        """Begin the upload of arrays, beside the work in the device's stream.

        They hold until the next `put`, which waits for what was enqueued before `release`.
        """
        starts = np.cumsum([0, *(-(-each.nbytes // ALIGNMENT) * ALIGNMENT for each in images)])
        self._uploaded.synchronize()
        there = self._reserve(int(starts[-1]))
        self._stream.wait(self._read)
        placed = []
        for start, image in zip(starts.tolist(), images, strict=False):
            staged = self._host[start : start + image.nbytes].reshape(image.shape)
            np.copyto(staged, image)
            pointer = there.pointer + start
            self._device.upload(staged, pointer, self._stream)
            placed.append(DeviceArray(self._device, pointer, image.shape, image.dtype, there.owner))
        self._uploaded.record(self._stream)
        return placed

    def await_upload(self) -> None:
        """Let what is enqueued in the device's stream from now on wait for the upload."""
        self._device.stream.wait(self._uploaded)

    def release(self) -> None:
        """Say that everything that reads the images has been enqueued."""
        self._read.record(self._device.stream)

    def _reserve(self, nbytes: int) -> DeviceArray:
        if self._there is None or nbytes > self._there.nbytes:
            self._there = None  # its memory may serve for the new one
            self._host = self._device.pinned((nbytes,), np.uint8)
            self._there = DeviceArray.empty(self._device, (nbytes,), np.uint8)
            self._read.record(self._device.stream)  # the memory may have had another reader
        return self._there


class Staging:
    """Two slots for every thread: one is filled while the other is being read."""

    def __init__(self, device: Device) -> None:
        self._device, self._local = device, threading.local()

    def slot(self) -> Slot:
        """The calling thread's next slot."""
        slots: list[Slot] | None = getattr(self._local, "slots", None)
        if slots is None:
            slots = self._local.slots = [Slot(self._device), Slot(self._device)]
        slots.reverse()
        return slots[0]
