"""Matching on the GPU: from feature maps there to matches, with nothing but points brought back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..kernels import SoftArgmax
from .device_features import DeviceFeatureMap
from .errors import gpu_errors
from .geometry import Points
from .matches import Matches


def match_on_device(
    source: DeviceFeatureMap, target: DeviceFeatureMap, asked: Points, soft: SoftArgmax | None
) -> Matches:
    """Find points (K, 2) of the source image in the target image, both in their own pixels.

    Every point takes the descriptor of the cell it lies in. Raises ValueError where descriptors
    are not finite, GeoAwareError where the GPU fails.
    """
    from ..kernels.cuda.arrays import DeviceArray
    from ..kernels.cuda.matching import match_points

    cells = source.grid.cells(asked)
    with gpu_errors():
        queries = DeviceArray.of(source.array.device, cells.astype(np.float32))
        found = match_points(source.array, target.array, queries, soft)
        here, back = found.numpy(), found.back.numpy()
    mutual = back == source.grid.numbers(cells)
    return Matches(asked, target.grid.points(here.cells), here.similarity, mutual)


def distance_on_device(
    source: DeviceFeatureMap,
    target: DeviceFeatureMap,
    masks: Sequence[NDArray[np.bool_]] | None,
) -> float:
    """As `pose.instance_distance`; masks (rows, cols) of both, on the grid they are compared on.

    Raises ValueError where descriptors are not finite, GeoAwareError where the GPU fails.
    """
    from ..kernels.cuda.arrays import DeviceArray
    from ..kernels.cuda.pose import masked_distance, mutual_distance

    with gpu_errors():
        if masks is None:
            return mutual_distance(source.array, target.array)
        device = source.array.device
        inside = [DeviceArray.of(device, mask.astype(np.uint8)) for mask in masks]
        return masked_distance(source.array, target.array, inside[0], inside[1])
