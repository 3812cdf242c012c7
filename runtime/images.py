"""Images in: whatever a user has, to upright 8-bit RGB, to the pixels of a frame."""

from __future__ import annotations

import warnings
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from .errors import GeoAwareError, InputError, first_line
from .geometry import Frame
from .recipe import FrameSpec

ImageSource: TypeAlias = "str | PathLike[str] | Image.Image | NDArray[np.uint8]"

MAX_PIXELS = 178_000_000
SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}

_FILTERS = {"lanczos": Image.Resampling.LANCZOS, "bilinear": Image.Resampling.BILINEAR}


def load(source: ImageSource) -> Image.Image:
    """An upright RGB image from a path, a PIL image or a uint8 array (H, W), (H, W, 3|4).

    EXIF orientation is applied, transparency laid over white, 16-bit greyscale scaled to 8.
    Of an animation the first picture is taken.

    Raises InputError for a missing path or an array of another kind, GeoAwareError for a file
    that is no image, is damaged, or has more than 178 million pixels.
    """
    if isinstance(source, np.ndarray):
        return _rgb(_from_array(source))
    if isinstance(source, Image.Image):
        return _rgb(ImageOps.exif_transpose(source))
    if not isinstance(source, (str, PathLike)):
        raise InputError(
            f"{type(source).__name__} is no image; give a path, a PIL image or a uint8 array"
        )
    return _read(existing(source))


def existing(path: str | PathLike[str]) -> Path:
    """The path of an image file. Raises InputError where there is no file."""
    found = Path(fspath(path))
    try:
        if found.is_dir():
            raise InputError(f"{found}: is a folder; name an image file")
        found.stat()
    except OSError as error:
        missing = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise InputError(f"{found}: {missing}") from None
    return found


def images_below(folder: Path) -> list[Path]:
    """The image files below a folder, hidden ones left out, sorted.

    Raises InputError where there is no such folder or no image in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not found:
        raise InputError(f"{folder}: holds no image")
    return found


def to_frame(image: Image.Image, spec: FrameSpec, side: int) -> NDArray[np.float32]:
    """Render an RGB image into a frame of side x side: pixels (3, side, side) in [0, 1]."""
    frame = Frame.fit(spec.mode, side, image.width, image.height)
    pixels = np.empty((3, side, side), np.float32)
    pixels[:] = np.reshape(spec.padding, (3, 1, 1))
    rows = slice(frame.top, frame.top + frame.inner_height)
    columns = slice(frame.left, frame.left + frame.inner_width)
    inner = _resized(image, (frame.inner_width, frame.inner_height), spec)
    np.multiply(inner.transpose(2, 0, 1), 1 / 255, out=pixels[:, rows, columns], dtype=np.float32)
    return pixels


def bilinear(pixels: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float32]:
    """Pixels (height, width, …) at another size (width, height), in float32, no antialiasing.

    The two nearest pixels in each direction, half-pixel centres.
    """
    result = pixels.astype(np.float32)
    for axis, wanted in ((0, size[1]), (1, size[0])):
        there = result.shape[axis]
        at = ((np.arange(wanted) + 0.5) * there / wanted - 0.5).clip(0, there - 1)
        low = np.floor(at).astype(np.intp)
        share = (at - low).astype(np.float32).reshape(-1, *[1] * (pixels.ndim - 1 - axis))
        high = (low + 1).clip(max=there - 1)
        result = result.take(low, axis) * (1 - share) + result.take(high, axis) * share
    return result


def _read(path: Path) -> Image.Image:
    with warnings.catch_warnings():
        # Pillow warns from half of its limit on; ours is the limit.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(path) as opened:
                if opened.width * opened.height > MAX_PIXELS:
                    raise Image.DecompressionBombError
                opened.load()
                ImageOps.exif_transpose(opened, in_place=True)
                return _rgb(opened)
        except GeoAwareError as error:
            raise type(error)(f"{path}: {error}") from None
        except Image.DecompressionBombError:
            raise GeoAwareError(
                f"{path}: more than {MAX_PIXELS // 10**6} million pixels; scale it down first"
            ) from None
        except UnidentifiedImageError:
            problem = "is empty" if path.stat().st_size == 0 else "is not an image"
            raise GeoAwareError(f"{path}: {problem}; JPEG, PNG, WebP, TIFF, … are read") from None
        except PermissionError:
            raise InputError(f"{path}: may not be read; check its permissions") from None
        except Exception as error:  # decoders raise whatever they like for damaged files
            raise GeoAwareError(f"{path}: damaged image: {first_line(error)}") from None


def _from_array(array: NDArray[np.uint8]) -> Image.Image:
    shape_is_known = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype != np.uint8 or not shape_is_known or 0 in array.shape:
        raise InputError(
            f"array of {array.dtype} {array.shape} is no image; give uint8 (H, W), (H, W, 3) "
            "or (H, W, 4) in RGB order"
        )
    return Image.fromarray(array)


def _rgb(image: Image.Image) -> Image.Image:
    if 0 in image.size:
        raise InputError(f"an image of {image.width} x {image.height} pixels shows nothing")
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode in ("I;16", "I;16L", "I;16B"):
        wide = np.asarray(image).astype(np.float32)
        return Image.fromarray((wide / 257).round().clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise GeoAwareError("32-bit pixels have no agreed range; convert to 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _resized(image: Image.Image, size: tuple[int, int], spec: FrameSpec) -> NDArray[Any]:
    """Pixels (height, width, 3) of an image at another size, 0 to 255."""
    if spec.resample == "bilinear-no-antialias":
        return bilinear(np.asarray(image), size)
    resized = image if image.size == size else image.resize(size, _FILTERS[spec.resample])
    return np.asarray(resized)
