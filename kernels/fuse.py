"""Maps of features, fused to one descriptor a cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .ensemble import resized
from .products import Float32
from .similarity import unit

Normalise = Literal["tap", "backbone", "none"]


def fuse(
    maps: Sequence[NDArray[np.floating]],
    weights: Sequence[Sequence[float]],
    grid: tuple[int, int],
    normalise: Normalise = "tap",
    *,
    channels_first: bool = False,
) -> Float32:
    """Fuse maps to descriptors (rows, columns, channels) of unit norm.

    maps: (h, w, c) each, or (c, h, w) with `channels_first`; each is brought to the grid (rows,
    columns) bilinearly, half-pixel centres. weights: per backbone those of its maps, in the maps'
    order. What gets unit norm before all maps are laid side by side: each `tap` (map), before it
    is weighted; each `backbone`'s weighted maps together; or `none`.

    Raises ValueError where maps and weights do not fit together.
    """
    check([each.shape for each in maps], weights, grid, normalise)
    remaining = iter(maps)
    fused = []
    for group in weights:
        taps = [_on_grid(next(remaining), grid, channels_first) for _ in group]
        taps = [unit(tap) for tap in taps] if normalise == "tap" else taps
        joined = np.concatenate(
            [tap * np.float32(weight) for tap, weight in zip(taps, group, strict=True)], axis=-1
        )
        fused.append(unit(joined) if normalise == "backbone" else joined)
    return unit(np.concatenate(fused, axis=-1))


def check(
    shapes: Sequence[tuple[int, ...]],
    weights: Sequence[Sequence[float]],
    grid: tuple[int, int],
    normalise: Normalise,
) -> None:
    """Raise ValueError where the shapes of maps and the arguments of `fuse` do not fit together."""
    if normalise not in ("tap", "backbone", "none"):
        raise ValueError(f"normalise must be tap, backbone or none, not {normalise!r}")
    if min(grid) < 1:
        raise ValueError(f"a grid of {grid[0]} x {grid[1]} has no cells")
    if not shapes or not all(weights):
        raise ValueError("a backbone has no maps")
    wanted = sum(len(group) for group in weights)
    if wanted != len(shapes):
        raise ValueError(f"{len(shapes)} maps have {wanted} weights")
    for shape in shapes:
        if len(shape) != 3 or 0 in shape:
            raise ValueError(f"a map has height, width and channels, not shape {shape}")


def _on_grid(tap: NDArray[np.floating], grid: tuple[int, int], channels_first: bool) -> Float32:
    planes = tap if channels_first else tap.transpose(2, 0, 1)
    return resized(planes.astype(np.float32), grid).transpose(1, 2, 0)
