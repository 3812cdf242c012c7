"""Images to descriptors on a GPU: upload, frame, models, all in one stream."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

import numpy as np
from PIL import Image

from ..kernels.cuda.arrays import DeviceArray
from ..kernels.cuda.device import Device
from ..kernels.cuda.preprocess import to_frame
from .engines import DeviceEngine
from .engines.buffers import first_rows
from .engines.runs import runs
from .errors import gpu_errors
from .geometry import Frame
from .recipe import FrameSpec
from .staging import Staging

ANY_BATCHES = tuple(range(1, 9))  # images at once for engines that take any number


class DeviceExtractor:
    """Models that run one after the other on a GPU, from images to descriptors that stay there.

    Threads may share one: while one decodes its images and uploads them, the GPU computes on
    another's. batch: how many images are best given at once.
    """

    def __init__(self, device: Device, engines: Sequence[DeviceEngine], frame: FrameSpec) -> None:
        self._batches = engines[0].batches or ANY_BATCHES
        self.batch = max(self._batches)
        self._device, self._engines, self._spec = device, engines, frame
        self._kept: dict[int, DeviceArray] = {}
        self._staging, self._lock = Staging(device), Lock()

    def descriptors(self, images: Sequence[Image.Image]) -> list[DeviceArray]:
        """Descriptors (rows, cols, channels), unit norm, of upright RGB images.

        Raises GeoAwareError where the GPU fails, or its memory does not suffice.
        """
        made: list[DeviceArray] = []
        with gpu_errors():
            for start, size, batch in runs(len(images), self._batches):
                made += self._batch(images[start : start + size], batch)
        return made

    def _batch(self, images: Sequence[Image.Image], size: int) -> list[DeviceArray]:
        slot = self._staging.slot()
        pixels = slot.put([np.asarray(image) for image in images])
        with self._lock:
            slot.await_upload()
            try:
                for side in self._sides():
                    for frame, each in zip(self._frames(size, side).rows(), pixels, strict=False):
                        self._render(each, side, frame)
            finally:
                slot.release()
            return first_rows(self._run(size), len(images)).copy().rows()

    def _render(self, pixels: DeviceArray, side: int, into: DeviceArray) -> None:
        height, width, _ = pixels.shape
        frame = Frame.fit(self._spec.mode, side, width, height)
        inner, corner = (frame.inner_width, frame.inner_height), (frame.left, frame.top)
        resample, padding = self._spec.resample, self._spec.padding
        to_frame(pixels, side, inner, corner, resample, padding, out=into)

    def _sides(self) -> set[int]:
        inputs = [tensor for engine in self._engines for tensor in engine.model.inputs]
        return {int(tensor.shape[-1]) for tensor in inputs if tensor.name == "image"}

    def _frames(self, count: int, side: int) -> DeviceArray:
        """The frames of a batch (count, 3, side, side): always the same memory."""
        if side not in self._kept:
            frames = DeviceArray.empty(self._device, (self.batch, 3, side, side), np.float32)
            self._device.fill(frames.pointer, 0, frames.nbytes)
            self._kept[side] = frames
        return first_rows(self._kept[side], count)

    def _run(self, batch: int) -> DeviceArray:
        tensors: dict[str, DeviceArray] = {}
        for engine in self._engines:
            inputs = {
                tensor.name: self._frames(batch, int(tensor.shape[-1]))
                if tensor.name == "image"
                else tensors[tensor.name]
                for tensor in engine.model.inputs
            }
            tensors |= engine.run(inputs)
        return tensors["descriptors"]
