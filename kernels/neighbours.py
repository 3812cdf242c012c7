"""Nearest neighbours between two sets of descriptors, both ways at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from .dispatch import OnDevice, check_host, device_arrays, on_device
from .products import Float32, products
from .similarity import blocks

if TYPE_CHECKING:
    from .cuda.neighbours import NeighboursOnDevice


@dataclass(frozen=True)
class Neighbours:
    """The nearest of M descriptors b for each of N descriptors a, and the other way round.

    forward: (N,) index into b. distance: (N,) float32, Euclidean, from a to its nearest b.
    backward: (M,) index into a, -1 where a is empty. Among equals the smaller index wins.
    """

    forward: NDArray[np.intp]
    distance: Float32
    backward: NDArray[np.intp]

    @property
    def mutual(self) -> NDArray[np.bool_]:
        """Which descriptors a are the nearest to their nearest: (N,)."""
        found: NDArray[np.bool_] = self.backward[self.forward] == np.arange(len(self.forward))
        return found


@overload
def neighbours(a: Float32, b: Float32) -> Neighbours: ...
@overload
def neighbours(a: OnDevice, b: OnDevice) -> NeighboursOnDevice: ...
def neighbours(a: Any, b: Any) -> Neighbours | NeighboursOnDevice:
    """Nearest neighbours by Euclidean distance between a (N, C) and b (M, C), in float32.

    On the host or on the GPU: where the arrays are, as `match` has it.
    |a - b|^2 = |a|^2 + |b|^2 - 2 a.b, so every dot product is computed once, in blocks of rows.

    Raises ValueError where a value is not finite (on a GPU when the result's `numpy()` brings it to
    the host) or b is empty, TypeError where one array is on the host and one on a GPU.
    """
    if on_device(a=a, b=b):
        from .cuda import neighbours as cuda

        [a, b] = device_arrays(a, b)
        return cuda.neighbours(a, b)
    check_host(a=(a, 2), b=(b, 2))
    square_a, square_b = (np.einsum("nc,nc->n", each, each) for each in (a, b))
    forward = np.empty(len(a), np.intp)
    distance = np.empty(len(a), np.float32)
    backward = np.full(len(b), -1, np.intp)
    closest = np.full(len(b), np.inf, np.float32)
    for part in blocks(len(a), len(b)):
        squared = square_a[part, None] + square_b - 2 * products(a[part], b)
        forward[part] = squared.argmin(axis=1)
        distance[part] = np.sqrt(squared.min(axis=1).clip(0))
        candidates = squared.argmin(axis=0)
        values = squared[candidates, np.arange(len(b))]
        nearer = values < closest
        closest[nearer] = values[nearer]
        backward[nearer] = candidates[nearer] + part.start
    return Neighbours(forward, distance, backward)
