"""Overlapping windows of features to one map on the device."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .arrays import DeviceArray
from .device import Device

Offsets = tuple[tuple[int, int], ...]

_THREADS = 256
_ENTRIES = {np.dtype(np.float32): "stitch_f32", np.dtype(np.float16): "stitch_f16"}


def stitch(
    windows: DeviceArray,
    offsets: Sequence[tuple[int, int]],
    size: tuple[int, int],
    *,
    channels_first: bool = True,
) -> DeviceArray:
    """Lay windows on a map of `size` (rows, columns); where several lie, their mean.

    windows: (n, C, h, w), or (n, h, w, C) without `channels_first`, float32 or float16; the map is
    (C, rows, columns) or (rows, columns, C) of the same type. offsets: the (row, column), in cells,
    at which each window begins. Stable Diffusion sees a frame of 960 x 960 pixels in four windows
    of 512 x 512, which begin at 0 and 448.

    Raises ValueError where windows do not lie on the map or do not cover it, CudaError where the
    device fails.
    """
    if windows.dtype not in _ENTRIES or windows.ndim != 4 or 0 in windows.shape:
        raise ValueError(
            f"windows are float32 or float16 with four dimensions, not {windows.dtype} "
            f"{windows.shape}"
        )
    channels = windows.shape[1 if channels_first else 3]
    window = windows.shape[2:] if channels_first else windows.shape[1:3]
    begins = tuple((int(row), int(column)) for row, column in offsets)
    if len(begins) != len(windows):
        raise ValueError(f"{len(windows)} windows have {len(begins)} offsets")
    _check_cover((window[0], window[1]), begins, (size[0], size[1]))

    outer, inner = (channels, 1) if channels_first else (1, channels)
    shape = (channels, *size) if channels_first else (*size, channels)
    stitched = DeviceArray.empty(windows.device, shape, windows.dtype)
    sizes = [np.int32(each) for each in (outer, *size, inner)]
    counts = [np.int32(each) for each in (len(begins), *window)]
    windows.device.kernel("stitch", _ENTRIES[windows.dtype]).launch(
        (-(-stitched.size // _THREADS),),
        (_THREADS,),
        [windows, *counts, _on_device(windows.device, begins), *sizes, stitched],
    )
    return stitched


@lru_cache(maxsize=64)
def _check_cover(window: tuple[int, int], begins: Offsets, size: tuple[int, int]) -> None:
    covered: NDArray[np.bool_] = np.zeros(size, bool)
    for row, column in begins:
        if row < 0 or column < 0 or row + window[0] > size[0] or column + window[1] > size[1]:
            raise ValueError(
                f"a window of {window[0]} x {window[1]} cells at ({row}, {column}) does not lie on "
                f"a map of {size[0]} x {size[1]}"
            )
        covered[row : row + window[0], column : column + window[1]] = True
    if not covered.all():
        row, column = np.argwhere(~covered)[0]
        raise ValueError(f"no window covers cell ({row}, {column})")


@lru_cache(maxsize=64)
def _on_device(device: Device, begins: Offsets) -> DeviceArray:
    return DeviceArray.of(device, np.asarray(begins, np.int32))
