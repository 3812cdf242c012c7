"""What the GPU can do at best: bytes copied and products summed in a second, measured."""

from __future__ import annotations

from functools import cache, cached_property, partial

import numpy as np

from geoaware.kernels.cuda.arrays import DeviceArray

from .inputs import Sizes
from .outcomes import Case, Figures, MissingError
from .timing import Bench, Contender, gpu_times


class Ceilings:
    """Measured when first asked for."""

    def __init__(self, bench: Bench, sizes: Sizes) -> None:
        self._bench, self._sizes = bench, sizes
        self.matrix_rate = cache(self._matrix_rate)

    def cases(self) -> list[Case]:
        """The ceilings as cases of their own."""
        return [
            ("copy on the device", self._copied),
            ("matrix product, float16", partial(self._rates, "float16")),
            ("matrix product, float32", partial(self._rates, "float32")),
        ]

    @cached_property
    def bandwidth(self) -> float:
        """Bytes read and written a second by a copy within the device's memory."""
        nbytes = self._sizes.copied_bytes
        source, to = (DeviceArray.empty(self._bench.device, (nbytes,), np.uint8) for _ in range(2))
        source.device.fill(source.pointer, 1, nbytes)
        copy = Contender([lambda: self._bench.device.copy(source.pointer, to.pointer, nbytes)])
        return 2 * nbytes / gpu_times(self._bench, {"copy": copy})["copy"].median * 1e6

    def rate(self, dtype: str) -> float:
        """Operations a second of the faster of two products by the vendor's library.

        Raises MissingError where PyTorch is missing.
        """
        return max(self.matrix_rate(dtype, *shape) for shape in self._shapes)

    @property
    def _shapes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        sizes = self._sizes
        return (sizes.cells, sizes.channels), (sizes.matrix, sizes.matrix)

    def _copied(self) -> Figures:
        return {"gigabytes_per_s": self.bandwidth / 1e9}

    def _rates(self, dtype: str) -> Figures:
        return {
            f"{rows}x{rows}x{channels}_teraflop_per_s": self.matrix_rate(dtype, rows, channels)
            / 1e12
            for rows, channels in self._shapes
        }

    def _matrix_rate(self, dtype: str, rows: int, channels: int) -> float:
        """Operations a second of (rows, channels) times the like of it transposed."""
        try:
            from .pytorch import products, same_stream
        except ModuleNotFoundError as error:
            raise MissingError(f"{error}: no measured matrix rate") from None
        with same_stream(self._bench):
            contender = products(self._bench, dtype, rows, channels)
            median = gpu_times(self._bench, {"product": contender})["product"].median
        return 2 * rows * rows * channels / median * 1e6
