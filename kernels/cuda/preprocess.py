"""Images to frames on the device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .arrays import DeviceArray
from .device import Device

Resample = Literal["lanczos", "bilinear", "bilinear-no-antialias"]
Colour = tuple[float, float, float]

_FRACTION_BITS = 22  # as in preprocess.cuh, and in Pillow
_COLUMNS, _ROWS = 128, 4  # what a block of narrow_rows makes
_PIXELS = (32, 8)  # what a block of the others makes


def to_frame(
    image: DeviceArray,
    side: int,
    inner: tuple[int, int],
    corner: tuple[int, int] = (0, 0),
    resample: Resample = "lanczos",
    padding: Colour = (0.0, 0.0, 0.0),
    mean: Colour = (0.0, 0.0, 0.0),
    std: Colour = (1.0, 1.0, 1.0),
    out: DeviceArray | None = None,
) -> DeviceArray:
    """Render an RGB image into a frame: pixels (3, side, side) float32, (value - mean) / std.

    image: (height, width, 3) uint8. inner, corner: the (width, height) it gets and the (left, top)
    it begins at, in frame pixels; the rest is padding. padding, mean, std: per channel, with values
    in [0, 1]. out: a frame that is there, in place of a new one.

    `lanczos` and `bilinear` equal the antialiased `resize` of Pillow 13 bit by bit before mean and
    std; earlier ones differ where an image loses more than twice as many rows as columns.
    `bilinear-no-antialias` takes the two nearest pixels in each direction, half-pixel centres.

    Raises ValueError where image, sizes or `out` do not fit, CudaError where the device fails.
    """
    _check(image, side, inner, corner, out)
    device = image.device
    frame = DeviceArray.empty(device, (3, side, side), np.float32) if out is None else out
    tones = _tones(device, tuple(padding), tuple(mean), tuple(std))
    grid = tuple(-(-side // each) for each in _PIXELS)
    place = [np.int32(each) for each in (side, *corner, *inner)]
    height, width = (np.int32(each) for each in image.shape[:2])
    if resample == "bilinear-no-antialias":
        kernel = device.kernel("preprocess", "stretch_frame_f32")
        kernel.launch(grid, _PIXELS, [image, height, width, *place, tones, frame])
        return frame
    if resample not in _FILTERS:
        raise ValueError(f"resample must be lanczos, bilinear or bilinear-no-antialias: {resample}")
    if _rows_go_first(image.shape[1], image.shape[0], inner):
        image = _shortened(image, inner[1], resample)
    narrow = _narrowed(image, inner[0], resample)
    down = _table(device, image.shape[0], inner[1], resample)
    kernel = device.kernel("preprocess", "fill_frame_f32")
    rows = np.int32(image.shape[0])
    kernel.launch(grid, _PIXELS, [narrow, rows, *down.arguments, *place, tones, frame])
    return frame


def _rows_go_first(width: int, height: int, inner: tuple[int, int]) -> bool:
    """Whether Pillow 13 does the pass down before the one across."""
    fewer_rows = height - inner[1]
    return fewer_rows > 0 and fewer_rows > 2 * (width - inner[0])


def _shortened(image: DeviceArray, rows: int, resample: str) -> DeviceArray:
    """The image resampled down: (rows, width, 3) uint8."""
    height, width, _ = image.shape
    shortened = DeviceArray.empty(image.device, (rows, width, 3), np.uint8)
    down = _table(image.device, height, rows, resample)
    sizes = np.int32(height), np.int32(width)
    image.device.kernel("preprocess", "shorten_columns_u8").launch(
        (-(-3 * width // _COLUMNS), rows),
        (_COLUMNS,),
        [image, *sizes, *down.arguments, np.int32(rows), shortened],
    )
    return shortened


def _narrowed(image: DeviceArray, columns: int, resample: str) -> DeviceArray:
    """The image resampled across: (3, height, columns) uint8."""
    height, width, _ = image.shape
    narrow = DeviceArray.empty(image.device, (3, height, columns), np.uint8)
    across = _table(image.device, width, columns, resample)
    sizes = np.int32(height), np.int32(width)
    image.device.kernel("preprocess", "narrow_rows_u8").launch(
        (-(-height // _ROWS), -(-columns // _COLUMNS)),
        (_COLUMNS,),
        [image, *sizes, *across.arguments, np.int32(columns), narrow],
    )
    return narrow


def _check(
    image: DeviceArray,
    side: int,
    inner: tuple[int, int],
    corner: tuple[int, int],
    out: DeviceArray | None,
) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(
            f"an image is uint8 (height, width, 3) with pixels, not {image.dtype} {image.shape}"
        )
    for length, begin in zip(inner, corner, strict=True):
        if length < 1 or begin < 0 or begin + length > side:
            raise ValueError(
                f"an image of {inner[0]} x {inner[1]} pixels at {corner} does not lie in a frame "
                f"of {side} x {side}"
            )
    if out is not None and (out.shape != (3, side, side) or out.dtype != np.float32):
        raise ValueError(
            f"the frame must be float32 (3, {side}, {side}), not {out.dtype} {out.shape}"
        )
    if out is not None and out.device is not image.device:
        raise ValueError("image and frame lie on different devices")


@dataclass(frozen=True)
class _Table:
    """How a line of pixels is resampled: see `Resampling` in preprocess.cuh."""

    first: DeviceArray
    weights: DeviceArray

    @property
    def arguments(self) -> list[DeviceArray | np.int32]:
        return [self.first, self.weights, np.int32(self.weights.shape[0])]


@lru_cache(maxsize=128)
def _table(device: Device, cells: int, wanted: int, resample: str) -> _Table:
    first, weights = pillow_weights(cells, wanted, resample)
    return _Table(DeviceArray.of(device, first), DeviceArray.of(device, weights))


@lru_cache(maxsize=32)
def _tones(device: Device, padding: Colour, mean: Colour, std: Colour) -> DeviceArray:
    """Per channel the scale and offset of 8-bit values, and the padding: (3, 3) float32."""
    if 0 in std:
        raise ValueError(f"a standard deviation is 0: {std}")
    colour, middle, spread = (np.asarray(each, np.float64) for each in (padding, mean, std))
    tones = [1 / 255 / spread, -middle / spread, (colour - middle) / spread]
    return DeviceArray.of(device, np.stack(tones, axis=1).astype(np.float32))


def pillow_weights(
    cells: int, wanted: int, resample: str
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """How Pillow's antialiased filters make `wanted` pixels of a line of `cells`.

    Pixel x is the sum of weights[t, x] * line[first[x] + t]: first (wanted,), weights
    (taps, wanted) in units of 2^-22; taps beyond the line's end weigh 0. The filter is as wide as
    its support times the scale, and each pixel's weights add up to 1.
    """
    support, response = _FILTERS[resample]
    scale = cells / wanted
    stretch = max(scale, 1.0)
    centres = (np.arange(wanted) + 0.5) * scale
    first = np.maximum(centres - support * stretch + 0.5, 0).astype(np.int32)
    end = np.minimum(centres + support * stretch + 0.5, cells).astype(np.int32)
    offsets = np.arange((end - first).max())[:, None]
    weights = response((offsets + first - centres + 0.5) / stretch)
    weights[offsets >= end - first] = 0.0
    weights /= weights.sum(axis=0)
    return first, _rounded(weights * 2**_FRACTION_BITS)


def _rounded(values: NDArray[np.float64]) -> NDArray[np.int32]:
    """Halves away from zero."""
    return np.trunc(values + np.copysign(0.5, values)).astype(np.int32)


def _lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    cut: NDArray[np.float64] = np.where(abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)
    return cut


def _triangle(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(1.0 - abs(x), 0.0)


_FILTERS: dict[str, tuple[float, Callable[[NDArray[np.float64]], NDArray[np.float64]]]] = {
    "lanczos": (3.0, _lanczos),
    "bilinear": (1.0, _triangle),
}
