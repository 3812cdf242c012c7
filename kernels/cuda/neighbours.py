"""Nearest neighbours between two sets of descriptors on the GPU, both ways at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..neighbours import Neighbours
from .arrays import DeviceArray
from .descriptors import SUFFIX, aligned, check, check_descriptors
from .similarity import both_ways

NEIGHBOURS_THREADS = 128
ROWS_THREADS = 256


@dataclass(frozen=True)
class NeighboursOnDevice:
    """The nearest of M descriptors b for each of N descriptors a and back, in a GPU's memory.

    forward: (N,) int32 row of b. distance: (N,) float32, Euclidean. backward: (M,) int32 row of a.
    A row that a mask left out, or that a mask left without a neighbour, has -1 and an infinite
    distance. Values that are not finite show as a distance that is NaN.
    """

    forward: DeviceArray
    distance: DeviceArray
    backward: DeviceArray

    def numpy(self) -> Neighbours:
        """A copy on the host. Raises ValueError where descriptors were not finite."""
        distance = self.distance.numpy()
        if np.isnan(distance).any():
            raise ValueError("descriptors hold NaN or infinite values")
        forward, backward = (each.numpy().astype(np.intp) for each in (self.forward, self.backward))
        return Neighbours(forward, distance, backward)


def neighbours(
    a: DeviceArray,
    b: DeviceArray,
    inside_a: DeviceArray | None = None,
    inside_b: DeviceArray | None = None,
) -> NeighboursOnDevice:
    """Nearest neighbours by Euclidean distance between a (N, C) and b (M, C), in five launches.

    Both float32 or both float16; they are copied where rows do not begin at multiples of 16 bytes.
    inside_a (N,) and inside_b (M,): uint8, 0 leaves a row out.

    Raises ValueError where shapes or types do not fit, b is empty or a has more than 8,388,480
    rows.
    """
    check_descriptors("a", a, None, None)
    check("b", b, (None, a.shape[1]), a.dtype)
    a, b = aligned(a), aligned(b)
    forward, backward = both_ways(a, b, metric="euclidean", inside_a=inside_a, inside_b=inside_b)
    rows, distance = _nearest_rows(a, b, forward)
    return NeighboursOnDevice(rows, distance, _rows(backward))


def _nearest_rows(
    a: DeviceArray, b: DeviceArray, keys: DeviceArray
) -> tuple[DeviceArray, DeviceArray]:
    rows = DeviceArray.empty(a.device, (len(a),), np.int32)
    distance = DeviceArray.empty(a.device, (len(a),), np.float32)
    if len(a):
        a.device.kernel("neighbours", f"nearest_rows_{SUFFIX[a.dtype]}").launch(
            (-(-len(a) // (NEIGHBOURS_THREADS // 32)),),
            (NEIGHBOURS_THREADS,),
            [a, b, keys, np.int32(len(a)), np.int32(a.shape[1]), rows, distance],
        )
    return rows, distance


def _rows(keys: DeviceArray) -> DeviceArray:
    rows = DeviceArray.empty(keys.device, keys.shape, np.int32)
    if len(keys):
        keys.device.kernel("neighbours", "rows_of_keys").launch(
            (-(-len(keys) // ROWS_THREADS),),
            (ROWS_THREADS,),
            [keys, np.int32(len(keys)), rows],
        )
    return rows
