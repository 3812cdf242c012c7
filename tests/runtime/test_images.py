from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geoaware.runtime import GeoAwareError
from geoaware.runtime.images import load, to_frame
from geoaware.runtime.recipe import FrameSpec


def spec(mode="stretch", resample="bilinear") -> FrameSpec:
    return FrameSpec(mode=mode, side=64, resample=resample)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        ("RGB", "jpg"),
        ("L", "jpg"),
        ("CMYK", "jpg"),
        ("RGB", "webp"),
        ("P", "png"),
        ("P", "gif"),
        ("LA", "png"),
        ("RGBA", "png"),
        ("1", "png"),
        ("RGB", "tiff"),
        ("RGB", "bmp"),
    ],
)
def test_every_kind_of_image_becomes_rgb(cat: Path, tmp_path: Path, mode: str, suffix: str):
    original = load(cat)
    path = tmp_path / f"image.{suffix}"
    original.convert(mode).save(path)
    loaded = load(path)
    assert (loaded.mode, loaded.size) == ("RGB", original.size)
    small, truth = (
        np.asarray(image.convert("L").resize((16, 16)), np.float32) for image in (loaded, original)
    )
    assert abs(small - truth).max() < 12


def test_16_bit_grey_is_scaled_to_8(tmp_path: Path):
    wide = np.arange(0, 65536, 256, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    expected = (wide / 257).round().astype(np.uint8)
    np.testing.assert_array_equal(np.asarray(load(tmp_path / "wide.png"))[:, :, 0], expected)


def test_transparency_shows_white():
    image = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert np.asarray(load(image)).min() == 255


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(tmp_path: Path, orientation: int):
    upright = np.zeros((8, 16, 3), np.uint8)
    upright[:4, :8] = 255
    image = Image.fromarray(upright)
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = image.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else image
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(load(tmp_path / "turned.png")), upright)


def test_paths_pictures_and_arrays_are_the_same_image(cat: Path):
    picture = Image.open(cat)
    array = np.asarray(picture)
    for source in (str(cat), picture, array):
        np.testing.assert_array_equal(np.asarray(load(source)), np.asarray(load(cat)))
    assert load(array[:, :, 0]).mode == "RGB"


@pytest.mark.parametrize(
    "array",
    [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4), np.uint8)],
)
def test_other_arrays_are_refused(array: np.ndarray):
    with pytest.raises(GeoAwareError, match="is no image"):
        load(array)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_32_bit_images_are_refused(tmp_path: Path, dtype: type):
    Image.fromarray(np.zeros((4, 4), dtype)).save(tmp_path / "wide.tiff")
    with pytest.raises(GeoAwareError, match=r"wide\.tiff: .*no agreed range"):
        load(tmp_path / "wide.tiff")


@pytest.mark.parametrize("source", [None, b"cat.jpg", 3])
def test_what_cannot_be_an_image_is_refused(source: object):
    with pytest.raises(GeoAwareError, match="is no image; give a path"):
        load(source)


def test_an_image_without_pixels_is_refused():
    with pytest.raises(GeoAwareError, match="0 x 5 pixels"):
        load(Image.new("RGB", (0, 5)))


def broken_files(folder: Path) -> dict[str, tuple[Path, str]]:
    jpeg = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(jpeg, "JPEG")
    contents = {
        "empty.jpg": (b"", "is empty"),
        "text.jpg": (b"not an image at all", "is not an image"),
        "cut.jpg": (jpeg.getvalue()[:-200], "damaged"),
    }
    for name, (content, _) in contents.items():
        (folder / name).write_bytes(content)
    return {name: (folder / name, message) for name, (_, message) in contents.items()}


@pytest.mark.parametrize("name", ["empty.jpg", "text.jpg", "cut.jpg"])
def test_broken_files_are_named(tmp_path: Path, name: str):
    path, message = broken_files(tmp_path)[name]
    with pytest.raises(GeoAwareError, match=f"{name}: {message}"):
        load(path)


def test_missing_files_and_folders_are_named(tmp_path: Path):
    with pytest.raises(GeoAwareError, match=r"none\.jpg: no such file"):
        load(tmp_path / "none.jpg")
    with pytest.raises(GeoAwareError, match="is a folder"):
        load(tmp_path)


def test_huge_images_are_refused_before_they_are_decoded(tmp_path: Path):
    path = tmp_path / "huge.png"
    Image.new("1", (14000, 13000)).save(path)
    with pytest.raises(GeoAwareError, match=r"huge\.png: more than 178 million pixels"):
        load(path)


def test_large_images_are_read_without_a_warning(tmp_path: Path, recwarn: pytest.WarningsRecorder):
    path = tmp_path / "large.png"
    Image.new("1", (10000, 9000)).save(path)
    assert load(path).size == (10000, 9000)
    assert not recwarn.list


def test_letterbox_centres_on_black():
    pixels = to_frame(Image.new("RGB", (20, 10), "white"), spec("letterbox", "lanczos"), 64)
    assert (pixels.shape, pixels.dtype) == ((3, 64, 64), np.float32)
    assert pixels[:, :16].max() == 0
    assert pixels[:, 16:48].min() == 1
    assert pixels[:, 48:].max() == 0


def test_corner_pads_right_and_below_with_the_colour_asked_for():
    padded = FrameSpec(mode="corner", side=64, resample="bilinear", padding=(0.5, 0.25, 1))
    pixels = to_frame(Image.new("RGB", (20, 10), "black"), padded, 64)
    assert pixels.dtype == np.float32
    assert pixels[:, :32].max() == 0
    assert [set(channel.ravel()) for channel in pixels[:, 32:]] == [{0.5}, {0.25}, {1}]


def test_sams_padding_is_zero_once_it_is_normalised():
    mean = np.array([123.675, 116.28, 103.53]) / 255
    padded = FrameSpec(mode="corner", side=64, resample="bilinear", padding=tuple(mean))
    pixels = to_frame(Image.new("RGB", (20, 10), "black"), padded, 64)
    assert abs(pixels[:, 32:] - mean.reshape(3, 1, 1)).max() < 1e-7


@pytest.mark.parametrize("padding", [(0, 0, 1.5), (0, -1, 0), (0, 0)])
def test_padding_is_a_colour(padding: tuple[float, ...]):
    with pytest.raises(ValueError, match="padding"):
        FrameSpec(mode="corner", side=64, resample="bilinear", padding=padding)


def test_bilinear_without_antialiasing_is_the_formula(cat: Path):
    """Half-pixel centres, the four nearest pixels, borders repeated; enlarged and reduced."""
    image = load(cat).resize((48, 200))
    fast = to_frame(image, spec(resample="bilinear-no-antialias"), 64)
    pixels = np.asarray(image, np.float64) / 255

    def taps(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        at = (np.arange(64) + 0.5) * size / 64 - 0.5
        low = np.floor(at).astype(int)
        return low.clip(0, size - 1), (low + 1).clip(0, size - 1), at - low

    y0, y1, v = taps(image.height)
    x0, x1, u = taps(image.width)
    u, v = u[None, :, None], v[:, None, None]
    top = pixels[y0][:, x0] * (1 - u) + pixels[y0][:, x1] * u
    bottom = pixels[y1][:, x0] * (1 - u) + pixels[y1][:, x1] * u
    expected = (top * (1 - v) + bottom * v).transpose(2, 0, 1)
    assert abs(fast - expected).max() <= 1e-6
