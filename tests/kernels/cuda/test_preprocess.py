"""Frames made by the kernels against those the runtime makes with Pillow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image

from geoaware.examples import PHOTOGRAPHS
from geoaware.kernels.cuda.arrays import DeviceArray
from geoaware.kernels.cuda.device import Device
from geoaware.kernels.cuda.preprocess import to_frame
from geoaware.runtime import images
from geoaware.runtime.geometry import Frame, Mode
from geoaware.runtime.recipe import FrameSpec
from tests.cuda_on_host.host_device import HostDevice

PADDING = (0.1, 0.5, 1.0)
TOLERANCES = {"lanczos": 0.0, "bilinear": 0.0, "bilinear-no-antialias": 1e-6}
MODES = ("letterbox", "stretch", "corner")

# width, height, side
SIZES = [
    (1, 1, 64),
    (3, 500, 64),
    (500, 3, 64),
    (31, 33, 64),  # larger
    (448, 315, 64),  # seven times smaller
    (64, 64, 64),  # as it is
    (64, 200, 64),  # only the rows
    (200, 64, 61),
    (150, 400, 59),  # rows first
    (100, 150, 33),
    (5000, 6, 3),  # rows longer than a chunk, filters longer than the image is high
    (2, 3, 1),
]

PILLOW = int(PIL.__version__.split(".")[0])


def skip_where_pillow_goes_across_first(image: Image.Image, frame: Frame) -> None:
    """The kernels go down first where Pillow 13 does; bytes between the passes are others then."""
    rows, columns = image.height - frame.inner_height, image.width - frame.inner_width
    if PILLOW < 13 and rows > max(0, 2 * columns):
        pytest.skip(f"Pillow {PIL.__version__} goes across first always, 13 and the kernels do not")


def noise(width: int, height: int) -> Image.Image:
    """Pixels of which as many as possible are 0 or 255, so that filters overshoot."""
    values = np.random.default_rng(width * height).integers(-255, 511, (height, width, 3))
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def both(
    device: Device, image: Image.Image, mode: Mode, side: int, resample: str
) -> tuple[np.ndarray, np.ndarray]:
    """The frame by the kernels and by the runtime."""
    spec = FrameSpec.model_construct(mode=mode, side=side, resample=resample, padding=PADDING)
    frame = Frame.fit(mode, side, image.width, image.height)
    if resample != "bilinear-no-antialias":
        skip_where_pillow_goes_across_first(image, frame)
    made = to_frame(
        DeviceArray.of(device, np.asarray(image)),
        side,
        (frame.inner_width, frame.inner_height),
        (frame.left, frame.top),
        resample,
        PADDING,
    )
    return made.numpy(), images.to_frame(image, spec, side)


@pytest.mark.parametrize("resample", TOLERANCES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("width", "height", "side"), SIZES)
def test_frames_are_those_of_pillow(device, width, height, side, mode, resample):
    made, truth = both(device, noise(width, height), mode, side, resample)
    assert abs(made - truth).max() <= TOLERANCES[resample]


@pytest.mark.parametrize("resample", TOLERANCES)
@pytest.mark.parametrize("path", PHOTOGRAPHS, ids=lambda path: path.stem)
def test_frames_of_photographs(device, path: Path, resample):
    made, truth = both(device, images.load(path), "letterbox", 518, resample)
    assert abs(made - truth).max() <= TOLERANCES[resample]


def test_a_large_photograph(device):
    image = noise(80, 60).resize((4000, 3000))
    made, truth = both(device, image, "letterbox", 840, "lanczos")
    np.testing.assert_array_equal(made, truth)


@pytest.mark.parametrize("resample", TOLERANCES)
@pytest.mark.parametrize(("width", "height", "side"), [(300, 7, 61), (9, 40, 31)])
def test_no_order_of_threads_changes_a_pixel(schedules, width, height, side, resample):
    frames = [
        both(each, noise(width, height), "letterbox", side, resample)[0] for each in schedules
    ]
    assert all((frame == frames[0]).all() for frame in frames)


def test_mean_and_deviation_are_taken_off_image_and_padding(device):
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    image = DeviceArray.of(device, np.asarray(noise(40, 20)))
    plain = to_frame(image, 64, (64, 32), (0, 16), padding=PADDING).numpy()
    made = to_frame(image, 64, (64, 32), (0, 16), padding=PADDING, mean=mean, std=std).numpy()
    expected = (plain - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    np.testing.assert_allclose(made, expected, atol=1e-6)


def test_a_frame_that_is_there_is_filled(device):
    image = DeviceArray.of(device, np.asarray(noise(20, 20)))
    frame = DeviceArray.empty(device, (3, 32, 32), np.float32)
    assert to_frame(image, 32, (32, 32), out=frame) is frame
    np.testing.assert_array_equal(frame.numpy(), to_frame(image, 32, (32, 32)).numpy())


@pytest.mark.parametrize(
    ("image", "arguments", "message"),
    [
        (np.zeros((4, 4), np.uint8), {}, "uint8 .height, width, 3."),
        (np.zeros((4, 4, 3), np.float32), {}, "float32"),
        (np.zeros((0, 4, 3), np.uint8), {}, "with pixels"),
        (np.zeros((4, 4, 3), np.uint8), {"corner": (1, 0)}, "does not lie in a frame"),
        (np.zeros((4, 4, 3), np.uint8), {"inner": (8, 0)}, "does not lie in a frame"),
        (np.zeros((4, 4, 3), np.uint8), {"resample": "nearest"}, "bilinear-no-antialias: nearest"),
        (np.zeros((4, 4, 3), np.uint8), {"std": (1.0, 0.0, 1.0)}, "deviation is 0"),
    ],
)
def test_what_does_not_fit_is_refused(device, image, arguments, message):
    with pytest.raises(ValueError, match=message):
        to_frame(DeviceArray.of(device, image), **({"side": 8, "inner": (8, 8)} | arguments))


def test_a_frame_of_another_size_or_place_is_refused(device):
    image = DeviceArray.of(device, np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match=r"must be float32 \(3, 8, 8\)"):
        to_frame(image, 8, (8, 8), out=DeviceArray.empty(device, (3, 9, 9), np.float32))
    other = DeviceArray.empty(HostDevice(), (3, 8, 8), np.float32)
    with pytest.raises(ValueError, match="different devices"):
        to_frame(image, 8, (8, 8), out=other)
