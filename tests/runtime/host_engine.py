"""A model on a device that is really the host: onnxruntime between the device's arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from geoaware.kernels.cuda.arrays import DeviceArray
from geoaware.runtime.engines import open_engine
from geoaware.runtime.manifest import Model


class HostEngine:
    """Keeps its outputs in the same memory from run to run, as the real ones do."""

    def __init__(
        self, folder: Path, model: Model, device: Any, batches: tuple[int, ...] | None
    ) -> None:
        self.model, self.batches, self._device = model, batches, device
        self._engine, self.seen = open_engine(folder, model, "cpu"), []
        self._outputs: dict[tuple[str, int], DeviceArray] = {}

    def run(self, inputs: dict[str, DeviceArray]) -> dict[str, DeviceArray]:
        made = self._engine.run({name: array.numpy() for name, array in inputs.items()})
        self.seen.append(len(next(iter(inputs.values()))))
        return {name: self._kept(name, array) for name, array in made.items()}

    def _kept(self, name: str, array: Any) -> DeviceArray:
        key = name, len(array)
        if key not in self._outputs:
            self._outputs[key] = DeviceArray.empty(self._device, array.shape, array.dtype)
        self._device.upload(array, self._outputs[key].pointer)
        return self._outputs[key]
