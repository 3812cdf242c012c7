"""Windows laid on a map, against the float64 reference and the export's torch module."""

from __future__ import annotations

import numpy as np
import pytest

from geoaware.kernels import reference
from geoaware.kernels.cuda.arrays import DeviceArray
from geoaware.kernels.cuda.stitch import stitch

# window (rows, columns), channels, offsets, map
SHAPES = [
    ((1, 1), 1, [(0, 0)], (1, 1)),
    ((3, 3), 5, [(0, 0), (0, 1), (1, 0), (1, 1)], (4, 4)),
    ((31, 2), 3, [(0, 0), (0, 1)], (31, 3)),
    ((3, 61), 65, [(0, 0), (1, 0), (4, 0), (2, 0)], (7, 61)),
    ((2, 2), 33, [(0, 0), (0, 0), (0, 0)], (2, 2)),
    ((16, 16), 40, [(0, 0), (0, 14), (14, 0), (14, 14)], (30, 30)),
]
TOLERANCES = {"float32": 1e-6, "float16": 2e-3}


def features(window, channels, offsets, dtype="float32") -> np.ndarray:
    shape = (len(offsets), *window, channels)
    return np.random.default_rng(3).standard_normal(shape).astype(dtype)


def stitched(device, windows, offsets, size, channels_first) -> np.ndarray:
    """The kernel's map (rows, columns, C) of windows (n, h, w, C)."""
    turned = windows.transpose(0, 3, 1, 2) if channels_first else windows
    made = stitch(DeviceArray.of(device, turned), offsets, size, channels_first=channels_first)
    return made.numpy().transpose(1, 2, 0) if channels_first else made.numpy()


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("channels_first", [False, True], ids=["last", "first"])
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_overlaps_are_averaged(device, shapes, channels_first, dtype):
    window, channels, offsets, size = shapes
    windows = features(window, channels, offsets, dtype)
    made = stitched(device, windows, offsets, size, channels_first)
    assert made.dtype == dtype
    truth = reference.stitch(windows, offsets, size)
    np.testing.assert_allclose(made, truth, rtol=0, atol=TOLERANCES[dtype])


@pytest.mark.parametrize("stride", [16, 32, 64])
def test_maps_are_those_of_the_exported_graph(device, stride):
    torch = pytest.importorskip("torch")
    from geoaware.export.backbones.stable_diffusion.windows import Windows

    cut = Windows(960, 512, [stride])
    offsets = [(y // stride, x // stride) for y in cut.offsets for x in cut.offsets]
    windows = features((512 // stride, 512 // stride), 7, offsets)
    truth = cut.stitch(torch.from_numpy(windows.transpose(0, 3, 1, 2).copy()), stride)
    size = (960 // stride, 960 // stride)
    made = stitched(device, windows, offsets, size, channels_first=True)
    np.testing.assert_allclose(made.transpose(2, 0, 1), truth[0].numpy(), rtol=0, atol=1e-6)


def test_no_order_of_threads_changes_a_value(schedules):
    window, channels, offsets, size = SHAPES[3]
    windows = features(window, channels, offsets)
    results = [stitched(each, windows, offsets, size, channels_first=True) for each in schedules]
    assert all((result == results[0]).all() for result in results)


@pytest.mark.parametrize(
    ("windows", "offsets", "message"),
    [
        (np.zeros((1, 2, 3), np.float32), [(0, 0)], "four dimensions"),
        (np.zeros((1, 2, 3, 3), np.float64), [(0, 0)], "float64"),
        (np.zeros((2, 2, 3, 3), np.float32), [(0, 0)], "2 windows have 1 offsets"),
        (np.zeros((1, 2, 3, 3), np.float32), [(0, 2)], "does not lie on a map of 4 x 4"),
        (np.zeros((1, 2, 3, 3), np.float32), [(-1, 0)], "does not lie on a map of 4 x 4"),
        (np.zeros((2, 2, 3, 3), np.float32), [(0, 0), (1, 1)], r"no window covers cell \(0, 3\)"),
    ],
)
def test_what_does_not_fit_is_refused(device, windows, offsets, message):
    with pytest.raises(ValueError, match=message):
        stitch(DeviceArray.of(device, windows), offsets, (4, 4))
