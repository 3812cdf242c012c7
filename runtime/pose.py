"""Pose alignment: does the source or its mirror image face the way the target does?

Adaptive pose alignment of "Telling Left from Right" (CVPR 2024), section 4.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..kernels import bilinear, neighbours
from .device_features import DeviceFeatureMap
from .device_matching import distance_on_device
from .features import Features
from .geometry import Frame, Grid

Mask = NDArray[np.bool_]
Alignment = Literal["mutual", "mask"]

MASK_CELLS = 64  # features are compared on 64 x 64 cells where masks decide


@dataclass(frozen=True)
class Pose:
    """The mirror image of a source, to be tried beside it.

    mirrored: feature maps of the mirrored source, one per bundle.
    partners: (K,) row of the point that each of the K asked points becomes in the mirror image,
        its own row where it stays itself, -1 where the partner is not among them.
    masks: (H, W) bool of the source and of the target in their own pixels, where the object is;
        without masks, mutual nearest neighbours decide.
    """

    mirrored: Sequence[Features]
    partners: NDArray[np.intp]
    masks: tuple[Mask, Mask] | None = None


def mirror_is_closer(
    source: Sequence[Features],
    pose: Pose,
    target: Sequence[Features],
    weights: Sequence[float],
) -> bool:
    """Whether the mirrored source is closer to the target than the source is.

    Raises ValueError where descriptors are not finite.
    """

    def distance(maps: Sequence[Features], masks: tuple[Mask, Mask] | None) -> float:
        pairs = zip(weights, maps, target, strict=True)
        return sum(weight * instance_distance(a, b, masks) for weight, a, b in pairs)

    masks = pose.masks
    turned = None if masks is None else (masks[0][:, ::-1], masks[1])
    return distance(pose.mirrored, turned) < distance(source, masks)


def instance_distance(source: Features, target: Features, masks: tuple[Mask, Mask] | None) -> float:
    """Mean Euclidean distance of matched descriptors, over mutual nearest neighbours or by masks.

    By masks, both maps are brought to 64 x 64 cells, and every cell inside the source's mask is
    matched with its nearest inside the target's; infinite where a mask covers no cell.

    Raises ValueError where descriptors are not finite.
    """
    sides = source, target
    cells = None
    if masks is not None:
        cells = [_on_grid(m, each.grid.frame) for m, each in zip(masks, sides, strict=True)]
    match sides:
        case (DeviceFeatureMap() as a, DeviceFeatureMap() as b):
            return distance_on_device(a, b, cells)
    if cells is None:
        found = neighbours(_flat(source.descriptors), _flat(target.descriptors))
        return float(found.distance[found.mutual].mean())
    inside = [_upsampled(each)[kept] for each, kept in zip(sides, cells, strict=True)]
    if not len(inside[0]) or not len(inside[1]):
        return float("inf")
    return float(neighbours(*inside).distance.mean())


def _flat(descriptors: NDArray[np.float32]) -> NDArray[np.float32]:
    return descriptors.reshape(-1, descriptors.shape[2])


def _upsampled(features: Features) -> NDArray[np.float32]:
    """Descriptors on 64 x 64 cells, bilinear, not normalised again: (64, 64, channels)."""
    descriptors = features.descriptors
    rows, columns, channels = descriptors.shape
    tall = bilinear(rows, MASK_CELLS) @ descriptors.reshape(rows, columns * channels)
    wide: NDArray[np.float32] = np.matmul(
        bilinear(columns, MASK_CELLS), tall.reshape(MASK_CELLS, columns, channels)
    )
    return wide


def _on_grid(mask: Mask, frame: Frame) -> Mask:
    """The mask at the centres of 64 x 64 cells over the frame; padding is outside."""
    grid = Grid(frame, MASK_CELLS, MASK_CELLS)
    centres = (grid.numbered(np.arange(MASK_CELLS**2)) + 0.5) * frame.side / MASK_CELLS
    points = np.floor(frame.to_image(centres)).astype(np.intp)
    height, width = mask.shape
    on_image = ((points >= 0) & (points < (width, height))).all(axis=1)
    x, y = points.clip(0, (width - 1, height - 1)).T
    inside: Mask = mask[y, x] & on_image
    return inside.reshape(MASK_CELLS, MASK_CELLS)
