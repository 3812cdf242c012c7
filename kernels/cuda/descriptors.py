"""Rows of descriptors on a device: sampled, normalised, measured, and fit for 16-byte loads."""

from __future__ import annotations

from math import prod
from typing import Literal

import numpy as np
from numpy.typing import DTypeLike

from .arrays import DeviceArray
from .device import NULL, Argument

How = Literal["nearest", "bilinear"]
HOWS: tuple[How, ...] = ("nearest", "bilinear")
SUFFIX = {np.dtype(np.float32): "f32", np.dtype(np.float16): "f16"}
PACKET_BYTES = 16


def check(name: str, array: DeviceArray, shape: tuple[int | None, ...], *types: DTypeLike) -> None:
    """Raises ValueError unless the array has the shape (None: any length) and one of the dtypes."""
    fits = len(shape) == array.ndim and all(
        wanted in (None, length) for wanted, length in zip(shape, array.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if length is None else str(length) for length in shape)
        raise ValueError(f"{name} has shape {array.shape}; it must be ({wanted})")
    if array.dtype not in [np.dtype(each) for each in types]:
        allowed = " or ".join(np.dtype(each).name for each in types)
        raise ValueError(f"{name} has dtype {array.dtype}; it must be {allowed}")


def check_descriptors(name: str, array: DeviceArray, *shape: int | None) -> None:
    """Raises ValueError unless the array has the shape, float32 or float16, and channels."""
    check(name, array, shape, np.float32, np.float16)
    if array.shape[-1] == 0:
        raise ValueError(f"{name} has no channels")


def check_together(**arrays: DeviceArray | None) -> None:
    """Raises ValueError where arrays are not on one device."""
    devices = {id(each.device) for each in arrays.values() if each is not None}
    if len(devices) > 1:
        raise ValueError(f"{', '.join(arrays)} must be on one device")


def sample(features: DeviceArray, cells: DeviceArray, how: How = "nearest") -> DeviceArray:
    """Unit descriptors of asked places on a grid.

    Args:
        features: (H, W, C) float32 or float16, of any norm.
        cells: (K, 2) float32 places x, y; cell centres are whole numbers. Places beyond the border
            get the border's descriptors.
        how: the descriptor of the cell that holds the place (halves up), or bilinear between the
            four around it, as they are, before the norm is taken.

    Returns:
        (K, C) of the features' dtype. A zero vector stays zero; one that is not finite, or whose
        place is NaN, becomes NaN throughout.

    Raises:
        ValueError: for other shapes or dtypes, or a grid without cells.
    """
    check_descriptors("features", features, None, None, None)
    check("cells", cells, (None, 2), np.float32)
    check_together(features=features, cells=cells)
    if how not in HOWS:
        raise ValueError(f"how is {how!r}; it must be 'nearest' or 'bilinear'")
    height, width, _ = features.shape
    if height * width == 0:
        raise ValueError("the grid has no cells")
    return _sampled(features, cells, len(cells), HOWS.index(how))


def unit(rows: DeviceArray) -> DeviceArray:
    """Descriptors (..., C), float32 or float16, divided by their Euclidean norm, as `sample` does.

    Raises ValueError for other dtypes.
    """
    check_descriptors("rows", rows, *[None] * rows.ndim)
    flat = rows.reshape(1, prod(rows.shape[:-1]), rows.shape[-1])
    return _sampled(flat, NULL, flat.shape[1], 0).reshape(*rows.shape)


def _sampled(
    features: DeviceArray, cells: DeviceArray | np.uintp, count: int, how: int
) -> DeviceArray:
    height, width, channels = features.shape
    out = DeviceArray.empty(features.device, (count, channels), features.dtype)
    sizes = [np.int32(each) for each in (height, width, channels, count, how)]
    by_warp("sample", out, [features, cells, out, *sizes])
    return out


def inverse_norms(rows: DeviceArray) -> DeviceArray:
    """1 / |row| for rows (N, C), float32 or float16: (N,) float32.

    0 for a zero row and one shorter than 2.9e-39, whose inverse float32 does not hold; NaN for one
    that is not finite. Raises ValueError for other shapes or dtypes.
    """
    return _measured(rows, 0)


def half_squares(rows: DeviceArray) -> DeviceArray:
    """|row|^2 / 2 for rows (N, C), float32 or float16: (N,) float32."""
    return _measured(rows, 1)


def _measured(rows: DeviceArray, measure: int) -> DeviceArray:
    check_descriptors("rows", rows, None, None)
    rows = aligned(rows)
    out = DeviceArray.empty(rows.device, (len(rows),), np.float32)
    sizes = [np.int32(each) for each in (*rows.shape, measure)]
    by_warp("measure", rows, [rows, out, *sizes])
    return out


def by_warp(kernel: str, rows: DeviceArray, arguments: list[Argument]) -> None:
    """Launch a kernel that gives a warp to each of the rows (N, C)."""
    if len(rows):
        launcher = rows.device.kernel("similarity", f"{kernel}_{SUFFIX[rows.dtype]}")
        launcher.launch((-(-len(rows) // 4),), (128,), arguments)


def aligned(rows: DeviceArray) -> DeviceArray:
    """The rows (N, C), so that each begins on 16 bytes: they themselves, or a copy.

    In the copy C is rounded up to 4 float32 or 8 float16 channels, with zeros.
    """
    count, channels = rows.shape
    size = PACKET_BYTES // rows.dtype.itemsize
    padded = -(-channels // size) * size
    if padded == channels and rows.pointer % PACKET_BYTES == 0:
        return rows
    out = DeviceArray.empty(rows.device, (count, padded), rows.dtype)
    if count:
        kernel = rows.device.kernel("similarity", f"pad_{SUFFIX[rows.dtype]}")
        blocks = min(-(-out.size // 256), 8 * rows.device.multiprocessors)
        sizes = [np.int32(each) for each in (count, channels, padded)]
        kernel.launch((blocks,), (256,), [rows, out, *sizes])
    return out
