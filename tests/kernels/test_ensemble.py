"""Similarities of several models on one grid, against the float64 reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoaware.kernels import ensemble_blocks, reference, resized, similarity_blocks, unit

SIZES = st.integers(1, 9)


def descriptors(seed: int, *shape: int) -> np.ndarray:
    return unit(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


@settings(max_examples=100, deadline=None)
@given(SIZES, SIZES, SIZES, SIZES, st.integers(0, 1000))
def test_resizing_is_bilinear_with_half_pixel_centres(height, width, rows, columns, seed):
    maps = np.random.default_rng(seed).standard_normal((3, height, width)).astype(np.float32)
    fast = resized(maps, (rows, columns))
    np.testing.assert_allclose(fast, reference.resized(maps, (rows, columns)), atol=1e-5)


def test_resizing_by_hand():
    line = np.array([[[0.0, 4.0]]], np.float32)
    assert resized(line, (1, 4)).tolist() == [[[0.0, 1.0, 3.0, 4.0]]]
    assert resized(line, (1, 1)).tolist() == [[[2.0]]]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(SIZES, SIZES, SIZES), min_size=1, max_size=3), SIZES, SIZES, SIZES)
def test_maps_are_weighted_and_added(shapes, count, rows, columns):
    queries = [descriptors(n, count, shape[2]) for n, shape in enumerate(shapes)]
    targets = [descriptors(n + 10, *shape) for n, shape in enumerate(shapes)]
    weights = [0.5, 0.3, 2.0][: len(shapes)]
    [(_, block)] = ensemble_blocks(queries, targets, weights, (rows, columns))
    truth = reference.ensemble_similarity(queries, targets, weights, (rows, columns))
    np.testing.assert_allclose(block.reshape(truth.shape), truth, atol=1e-5)


def test_many_queries_come_in_blocks_that_fit_together():
    queries, target = descriptors(0, 1500, 4), descriptors(1, 60, 60, 4)
    parts = list(ensemble_blocks([queries, queries], [target, target], (0.5, 0.5), (60, 60)))
    assert len(parts) > 1
    whole = np.concatenate([block for _, block in parts])
    alone = np.concatenate([block for _, block in similarity_blocks(queries, target)])
    np.testing.assert_allclose(whole, alone, atol=1e-6)


def test_values_that_are_not_finite_are_refused():
    queries, target = descriptors(0, 2, 4), descriptors(1, 3, 3, 4)
    target[1, 1, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        list(ensemble_blocks([queries], [target], [1.0], (3, 3)))
