"""Fused maps by the kernels, against the float64 reference and the export's torch module."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from geoaware.kernels import reference
from geoaware.kernels.cuda.arrays import DeviceArray
from geoaware.kernels.cuda.fuse import fuse
from tests.cuda_on_host.host_device import HostDevice

NORMALISE = ("tap", "backbone", "none")

# maps (height, width, channels), weights per backbone, grid
SHAPES = [
    ([(1, 1, 1)], [[1.0]], (1, 1)),
    ([(1, 1, 5), (3, 2, 3)], [[1.0], [0.5]], (3, 4)),
    ([(31, 3, 31), (7, 5, 129)], [[2.0], [0.5]], (31, 3)),
    ([(7, 9, 256), (4, 5, 61), (2, 3, 65)], [[1.0, 0.5], [3.0]], (7, 9)),
    ([(12, 9, 130), (3, 3, 2), (5, 1, 31)], [[1.0], [0.3, 0.7]], (6, 11)),  # larger and smaller
    ([(61, 59, 8)], [[1.0]], (61, 59)),
    ([(3, 5, 3968)], [[1.0]], (3, 5)),
]

# the results have unit norm; what 16 bits hold of them
TOLERANCES = {
    ("float32", "float32"): 1e-6,
    ("float16", "float32"): 1e-6,
    ("float32", "float16"): 3e-4,
    ("float16", "float16"): 3e-4,
}


def features(shapes, dtype: str = "float32") -> list[np.ndarray]:
    random = np.random.default_rng(5)
    return [(random.standard_normal(shape) * 3).astype(dtype) for shape in shapes]


def fused(device, maps, weights, grid, normalise="tap", channels_first=False, **options):
    """The kernels' descriptors of maps that have their channels last."""
    turned = [each.transpose(2, 0, 1) if channels_first else each for each in maps]
    arrays = [DeviceArray.of(device, each) for each in turned]
    options["channels_first"] = channels_first
    return fuse(arrays, weights, grid, normalise, **options).numpy()


@pytest.mark.parametrize("types", TOLERANCES, ids="-".join)
@pytest.mark.parametrize("channels_first", [False, True], ids=["last", "first"])
@pytest.mark.parametrize("normalise", NORMALISE)
@pytest.mark.parametrize("shapes", SHAPES, ids=lambda shapes: f"{shapes[0]}-{shapes[2]}")
def test_descriptors_are_those_of_the_reference(device, shapes, normalise, channels_first, types):
    sizes, weights, grid = shapes
    maps = features(sizes, types[0])
    made = fused(device, maps, weights, grid, normalise, channels_first, dtype=types[1])
    truth = reference.fuse(maps, weights, grid, normalise)
    assert made.dtype == types[1]
    np.testing.assert_allclose(made, truth, rtol=0, atol=TOLERANCES[types])


@pytest.mark.parametrize("channels_first", [False, True], ids=["last", "first"])
@pytest.mark.parametrize("normalise", NORMALISE)
def test_descriptors_are_those_of_the_exported_graph(device, normalise, channels_first):
    torch = pytest.importorskip("torch")
    from geoaware.export.graphs import Fusion

    maps = features([(4, 4, 40), (2, 2, 33), (7, 7, 64)])
    weights = [[0.7, 0.2], [1.5]]
    uses = [
        SimpleNamespace(taps=[SimpleNamespace(weight=weight) for weight in group])
        for group in weights
    ]
    recipe = SimpleNamespace(grid=7, keep=0.0, normalise=normalise, backbones=uses)
    taps = [torch.from_numpy(each.transpose(2, 0, 1).copy())[None] for each in maps]
    truth = Fusion(recipe)(*taps)[0].numpy()
    made = fused(device, maps, weights, (7, 7), normalise, channels_first)
    np.testing.assert_allclose(made, truth, rtol=0, atol=1e-6)


@pytest.mark.parametrize("channels_first", [False, True], ids=["last", "first"])
def test_no_order_of_threads_changes_a_descriptor(schedules, channels_first):
    sizes, weights, grid = SHAPES[3]
    results = [
        fused(each, features(sizes), weights, grid, "backbone", channels_first)
        for each in schedules
    ]
    assert all((result == results[0]).all() for result in results)


@pytest.mark.parametrize("channels_first", [False, True], ids=["last", "first"])
def test_stable_diffusion_and_dinov2_at_full_size(device, channels_first):
    from geoaware.kernels.fuse import fuse as on_host

    maps = features([(60, 60, 640), (30, 30, 1280), (15, 15, 1280), (60, 60, 768)])
    weights = [[1.0, 1.0, 1.0], [1.0]]
    made = fused(device, maps, weights, (60, 60), "backbone", channels_first)
    assert made.shape == (60, 60, 3968)
    truth = on_host(maps, weights, (60, 60), "backbone")
    np.testing.assert_allclose(made, truth, rtol=0, atol=1e-6)


def test_a_cell_without_features_stays_zero(device):
    maps = [np.zeros((2, 2, 3), np.float32), np.ones((2, 2, 2), np.float32)]
    maps[1][0, 0] = 0
    made = fused(device, maps, [[1.0], [1.0]], (2, 2))
    assert not made[0, 0].any()
    np.testing.assert_allclose(made[1, 1], [0, 0, 0, 0.5**0.5, 0.5**0.5], atol=1e-7)


@pytest.mark.parametrize("normalise", NORMALISE)
def test_what_is_not_finite_shows(device, normalise):
    maps = features([(2, 2, 3), (2, 2, 40)])
    maps[1][0, 1, 39] = np.nan
    made = fused(device, maps, [[1.0], [1.0]], (2, 2), normalise)
    assert np.isnan(made[0, 1]).all()
    assert np.isfinite(made[1]).all()


def test_descriptors_that_are_there_are_filled(device):
    maps = [DeviceArray.of(device, each) for each in features([(2, 2, 3)])]
    there = DeviceArray.empty(device, (4, 4, 3), np.float16)
    assert fuse(maps, [[1.0]], (4, 4), out=there) is there
    np.testing.assert_allclose(there.numpy(), fuse(maps, [[1.0]], (4, 4)).numpy(), atol=3e-4)


def test_what_does_not_fit_is_refused(device):
    maps = [DeviceArray.of(device, each) for each in features([(2, 2, 3)])]
    with pytest.raises(ValueError, match="1 maps have 2 weights"):
        fuse(maps, [[1.0], [1.0]], (2, 2))
    with pytest.raises(ValueError, match="at most 32767"):
        fuse(maps, [[1.0]], (1, 32768))
    with pytest.raises(ValueError, match="float32 or float16, not float64"):
        fuse(maps, [[1.0]], (2, 2), dtype=np.float64)
    with pytest.raises(ValueError, match=r"must have shape \(2, 2, 3\)"):
        fuse(maps, [[1.0]], (2, 2), out=DeviceArray.empty(device, (2, 2, 4), np.float32))
    other = DeviceArray.of(HostDevice(), np.zeros((2, 2, 3), np.float32))
    with pytest.raises(ValueError, match="different devices"):
        fuse([*maps, other], [[1.0, 1.0]], (2, 2))
