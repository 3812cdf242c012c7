"""Fused maps, against the float64 reference and against the export's torch module."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoaware.kernels import reference
from geoaware.kernels.fuse import fuse

NORMALISE = ("tap", "backbone", "none")
SIZES = st.integers(1, 9)


def features(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(SIZES, SIZES, SIZES), min_size=2, max_size=4),
    SIZES,
    SIZES,
    st.sampled_from(NORMALISE),
)
def test_fused_maps_are_those_of_the_reference(shapes, rows, columns, normalise):
    maps = [features(number, *shape) for number, shape in enumerate(shapes)]
    weights = [[0.5], [1.0, 2.0, 0.25][: len(maps) - 1]]
    truth = reference.fuse(maps, weights, (rows, columns), normalise)
    np.testing.assert_allclose(fuse(maps, weights, (rows, columns), normalise), truth, atol=2e-6)
    turned = [each.transpose(2, 0, 1) for each in maps]
    made = fuse(turned, weights, (rows, columns), normalise, channels_first=True)
    np.testing.assert_allclose(made, truth, atol=2e-6)


def test_fusing_by_hand():
    a, b, c = (np.full((1, 1, 1), value, np.float32) for value in (3.0, 4.0, 12.0))
    by_tap = fuse([a, b, c], [[1.0, 2.0], [2.0]], (1, 1), "tap")
    np.testing.assert_allclose(by_tap.ravel(), [1 / 3, 2 / 3, 2 / 3], rtol=1e-6)
    by_backbone = fuse([a, b, c], [[1.0, 1.0], [2.0]], (1, 1), "backbone")
    np.testing.assert_allclose(by_backbone.ravel(), np.sqrt([0.18, 0.32, 0.5]), rtol=1e-6)
    as_they_are = fuse([a, b, c], [[1.0, 1.0], [1.0]], (1, 1), "none")
    np.testing.assert_allclose(as_they_are.ravel(), np.divide([3, 4, 12], 13), rtol=1e-6)


def test_a_cell_without_features_stays_zero():
    maps = [np.zeros((2, 2, 3), np.float32), np.zeros((1, 1, 2), np.float32)]
    for normalise in NORMALISE:
        assert not fuse(maps, [[1.0], [1.0]], (2, 2), normalise).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], [], (2, 2), "tap"), "no maps"),
        (([features(0, 2, 2, 2)], [[1.0], []], (2, 2), "tap"), "no maps"),
        (([features(0, 2, 2, 2)], [[1.0, 1.0]], (2, 2), "tap"), "1 maps have 2 weights"),
        (([features(0, 2, 2)], [[1.0]], (2, 2), "tap"), "height, width and channels"),
        (([features(0, 0, 2, 2)], [[1.0]], (2, 2), "tap"), "height, width and channels"),
        (([features(0, 2, 2, 2)], [[1.0]], (2, 0), "tap"), "has no cells"),
        (([features(0, 2, 2, 2)], [[1.0]], (2, 2), "map"), "tap, backbone or none"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        fuse(*arguments)
