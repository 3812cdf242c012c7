"""Distances that decide between an image and its mirror image, on the GPU.

Adaptive pose alignment of "Telling Left from Right" (CVPR 2024), section 4.1.
"""

from __future__ import annotations

from math import inf

import numpy as np

from .arrays import DeviceArray
from .descriptors import SUFFIX, check, check_descriptors, check_together
from .device import NULL
from .neighbours import NeighboursOnDevice, neighbours

RESIZED_THREADS = 256
MEAN_THREADS = 1024


def mutual_distance(a: DeviceArray, b: DeviceArray) -> float:
    """Mean Euclidean distance of mutual nearest neighbours between two maps (H, W, C).

    Both float32 or both float16; the grids may differ. One number comes back to the host.

    Raises ValueError where shapes or types do not fit, a map is empty or values are not finite.
    """
    _check_maps(a, b)
    found = neighbours(_flat(a), _flat(b))
    return _mean(found, found.backward)


def masked_distance(
    a: DeviceArray, b: DeviceArray, inside_a: DeviceArray, inside_b: DeviceArray
) -> float:
    """Mean Euclidean distance of a's cells inside a mask from their nearest inside b's mask.

    a, b: maps (H, W, C), both float32 or both float16. inside_a and inside_b: uint8 of one shape
    (rows, columns), 0 outside. Both maps are brought to that grid first, bilinearly and not
    normalised again; in float16 the result is rounded to float16.

    Infinite where a mask covers no cell. Raises ValueError where shapes or types do not fit, a map
    is empty or values inside the masks are not finite.
    """
    _check_maps(a, b)
    check("inside_a", inside_a, (None, None), np.uint8)
    check("inside_b", inside_b, inside_a.shape, np.uint8)
    check_together(a=a, b=b, inside_a=inside_a, inside_b=inside_b)
    rows, columns = inside_a.shape
    if rows * columns == 0:
        return inf
    on_grid = [_flat(resized(each, (rows, columns))) for each in (a, b)]
    masks = [each.reshape(rows * columns) for each in (inside_a, inside_b)]
    return _mean(neighbours(on_grid[0], on_grid[1], masks[0], masks[1]), None)


def resized(features: DeviceArray, grid: tuple[int, int]) -> DeviceArray:
    """A map (H, W, C) on another grid, (rows, columns, C): bilinear, half-pixel centres.

    Nothing is normalised or antialiased; the type stays.
    """
    height, width, channels = features.shape
    out = DeviceArray.empty(features.device, (*grid, channels), features.dtype)
    sizes = [np.int32(each) for each in (height, width, channels, *grid)]
    features.device.kernel("pose", f"resized_{SUFFIX[features.dtype]}").launch(
        (grid[0] * grid[1],), (RESIZED_THREADS,), [features, *sizes, out]
    )
    return out


def _check_maps(a: DeviceArray, b: DeviceArray) -> None:
    check_descriptors("a", a, None, None, None)
    check("b", b, (None, None, a.shape[2]), a.dtype)
    if a.size == 0 or b.size == 0:
        raise ValueError(f"maps {a.shape} and {b.shape} must not be empty")


def _flat(features: DeviceArray) -> DeviceArray:
    return features.reshape(features.shape[0] * features.shape[1], features.shape[2])


def _mean(found: NeighboursOnDevice, backward: DeviceArray | None) -> float:
    device, count = found.distance.device, len(found.distance)
    mean = DeviceArray.empty(device, (1,), np.float32)
    back = NULL if backward is None else backward
    device.kernel("pose", "mean_of_nearest").launch(
        (1,), (MEAN_THREADS,), [found.distance, found.forward, back, np.int32(count), mean]
    )
    distance = float(mean.numpy()[0])
    if np.isnan(distance):
        raise ValueError("descriptors hold NaN or infinite values")
    return distance
