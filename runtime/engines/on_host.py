"""An engine on the GPU for callers whose arrays are on the host."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...kernels.cuda.arrays import DeviceArray
from .runs import runs

if TYPE_CHECKING:
    from ...kernels.cuda.gpu import Gpu
    from . import DeviceEngine, Tensors


class OnHost:
    """Uploads, runs, downloads; one run at a time.

    batches: the batch sizes to run; None for all that the engine takes.
    """

    def __init__(
        self, engine: DeviceEngine, gpu: Gpu, batches: tuple[int, ...] | None = None
    ) -> None:
        self._engine, self._gpu, self._batches = engine, gpu, batches or engine.batches
        self._lock = Lock()

    def run(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        """Compute every output from the inputs, both by name, of any batch size."""
        count = len(next(iter(inputs.values())))
        parts: list[dict[str, NDArray[Any]]] = []
        for start, size, batch in runs(count, self._batches):
            made = self._run(
                {
                    name: _filled(array[start : start + size], batch)
                    for name, array in inputs.items()
                }
            )
            parts.append({name: array[:size] for name, array in made.items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _run(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        with self._lock:
            arrays = {name: DeviceArray.of(self._gpu, array) for name, array in inputs.items()}
            made = self._engine.run(arrays)
            return {name: array.numpy() for name, array in made.items()}


def _filled(array: NDArray[Any], count: int) -> NDArray[Any]:
    """An array whose last row is repeated until it has `count` rows."""
    return np.concatenate([array, np.repeat(array[-1:], count - len(array), axis=0)])
