"""What is measured: sizes, and inputs in which every asked point has one clear match."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from geoaware.kernels.similarity import unit

Map = NDArray[np.floating]  # (side, side, channels), unit descriptors


@dataclass(frozen=True)
class Sizes:
    """Sizes of everything that is measured.

    maps: Stable Diffusion's taps s5, s4 and s3 and DINOv2-B's as (side, channels); weights: theirs,
    per backbone. matrix: rows of a square product that shows the rate of the GPU.
    """

    side: int = 60
    channels: int = 768
    points: int = 12
    maps: tuple[tuple[int, int], ...] = ((15, 1280), (30, 1280), (60, 640), (60, 768))
    weights: tuple[tuple[float, ...], ...] = ((1.0, 1.0, 1.0), (1.0,))
    photograph: tuple[int, int] = (3000, 4000)
    frame: int = 840
    matrix: int = 8192
    copied_bytes: int = 2**30

    @property
    def cells(self) -> int:
        """Cells of a map."""
        return self.side**2


def map_pairs(sizes: Sizes, dtype: DTypeLike, count: int) -> Iterator[tuple[Map, Map]]:
    """`count` different pairs of a source map and a target map.

    The target's descriptors are the source's, shuffled and disturbed: the cosine of a cell with
    its own match is far above that with any other, so rounding decides no match.
    """
    random = np.random.default_rng(0)
    shape = sizes.side, sizes.side, sizes.channels
    rows = unit(random.standard_normal((sizes.cells, sizes.channels)))
    noise = 0.5 * unit(random.standard_normal(rows.shape))
    disturbed = unit(rows + noise)[random.permutation(sizes.cells)]
    for number in range(count):  # other places of the same descriptors
        yield tuple(
            np.roll(each, number * step, axis=0).reshape(shape).astype(dtype)
            for each, step in ((rows, 7), (disturbed, 11))
        )


def asked_cells(sizes: Sizes) -> NDArray[np.float32]:
    """The cells (x, y) that are asked for: (points, 2)."""
    numbers = np.random.default_rng(1).choice(sizes.cells, sizes.points, replace=False)
    return np.stack([numbers % sizes.side, numbers // sizes.side], axis=1).astype(np.float32)
