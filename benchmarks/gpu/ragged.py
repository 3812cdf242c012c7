"""A run of every kernel on small ragged shapes, for compute-sanitizer to watch.

compute-sanitizer --tool memcheck python -m benchmarks.gpu.ragged
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from geoaware.kernels.cuda.arrays import DeviceArray
from geoaware.kernels.cuda.context import Context
from geoaware.kernels.cuda.device import Device
from geoaware.kernels.cuda.fuse import fuse
from geoaware.kernels.cuda.gpu import Gpu
from geoaware.kernels.cuda.matching import match_points
from geoaware.kernels.cuda.pose import masked_distance, mutual_distance
from geoaware.kernels.cuda.preprocess import to_frame
from geoaware.kernels.cuda.similarity import nearest
from geoaware.kernels.similarity import unit
from geoaware.kernels.softargmax import SoftArgmax

GRIDS, CHANNELS, POINTS = ((1, 1), (3, 5), (13, 11)), (5, 200), (1, 12, 65)
SETTINGS = None, SoftArgmax(2, 0.05, "zeroed"), SoftArgmax(3, 0.1, "cropped")
WEIGHTS = (1.0, 0.5), (2.0,)
RESAMPLINGS = "lanczos", "bilinear", "bilinear-no-antialias"


class ExactMemory:
    """Memory of the GPU of exactly so many bytes, so that what lies behind is nobody's."""

    def __init__(self, context: Context, nbytes: int) -> None:
        self._context, self.pointer = context, context.handle("cuMemAlloc_v2", nbytes)

    def __del__(self) -> None:
        self._context.call("cuMemFree_v2", self.pointer)


class WithoutPool:
    """A GPU whose arrays each have memory of their own, never used before."""

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu

    def allocate(self, nbytes: int) -> ExactMemory:
        """Uninitialised memory."""
        return ExactMemory(self._gpu.context, nbytes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gpu, name)


def main() -> None:
    """Run them on the GPU."""
    from geoaware.kernels.cuda.open import open_device

    run_all(WithoutPool(open_device()))


def run_all(device: Device) -> None:
    """Run every kernel. Raises ValueError where a result is not finite."""
    random = np.random.default_rng(0)

    def array(shape: tuple[int, ...], dtype: DTypeLike) -> DeviceArray:
        values = random.random(shape, np.float32)
        return DeviceArray.of(device, _unit(values).astype(dtype))

    for dtype, grid, channels in product((np.float32, np.float16), GRIDS, CHANNELS):
        maps = [array((*grid, channels), dtype) for _ in range(2)]
        for points, soft in product(POINTS, SETTINGS):
            cells = random.random((points, 2), np.float32) * (grid[1] - 1, grid[0] - 1)
            asked = DeviceArray.of(device, cells.astype(np.float32))
            match_points(*maps, asked, soft, "bilinear").numpy()
        rows = maps[0].reshape(-1, channels)
        nearest(rows, rows, min(3, len(rows)), unit=False)[1].numpy()
        masks = [DeviceArray.of(device, np.ones((7, 9), np.uint8)) for _ in range(2)]
        masked_distance(*maps, *masks)
        mutual_distance(*maps)
        fuse([*maps, array((2, 3, channels), dtype)], WEIGHTS, grid, "backbone").numpy()
        first = [array((channels, *shape), dtype) for shape in (grid, (2, 3), (33, 4))]
        fuse(first, WEIGHTS, grid, "tap", channels_first=True, dtype=dtype).numpy()
    for shape, resample in product(((1, 1, 3), (13, 29, 3), (50, 7, 3)), RESAMPLINGS):
        pixels = DeviceArray.of(device, random.integers(0, 256, shape, np.uint8))
        to_frame(pixels, 17, (11, 16), (3, 1), resample).numpy()


def _unit(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return unit(values - 0.5)


if __name__ == "__main__":
    main()
