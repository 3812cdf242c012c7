"""Feature maps in a GPU's memory."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .errors import gpu_errors
from .features import FeatureMap
from .geometry import Frame, Grid

if TYPE_CHECKING:
    from ..kernels.cuda.arrays import DeviceArray


class DeviceFeatureMap(FeatureMap):
    """Descriptors of one image that stay on the GPU that made them.

    array: (rows, cols, channels) float32 or float16, unit norm. Two of these are matched on the
    GPU; whatever else asks for `descriptors` gets a float32 copy on the host, made once.
    """

    array: DeviceArray

    def __init__(self, array: DeviceArray, frame: Frame, bundle: str) -> None:
        for name, value in (("array", array), ("frame", frame), ("bundle", bundle)):
            object.__setattr__(self, name, value)

    @cached_property
    def descriptors(self) -> NDArray[np.float32]:
        """All descriptors (rows, cols, channels), copied to the host."""
        with gpu_errors():
            return self.array.numpy().astype(np.float32, copy=False)

    @property
    def grid(self) -> Grid:
        """The grid of the descriptors' cells."""
        rows, columns, _ = self.array.shape
        return Grid(self.frame, rows, columns)
