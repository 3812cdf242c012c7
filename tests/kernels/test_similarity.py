"""Sampling and the nearest rows on the host, against float64 and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoaware.kernels import reference, unit
from geoaware.kernels.similarity import nearest, sample

HOWS = ("nearest", "bilinear")


@pytest.mark.parametrize("implementation", [sample, reference.sample])
def test_places_by_hand(implementation):
    """Two cells, (1, 0) and (0, 1): halfway the mean, a half goes to the next cell."""
    features = np.eye(2, dtype=np.float32)[None]
    cells = np.float32([[0, 0], [0.49, 0], [0.5, 0.4], [-3, 9], [7, -2]])
    found = implementation(features, cells, "nearest")
    np.testing.assert_array_equal(found, np.eye(2)[[0, 0, 1, 0, 1]])
    found = implementation(features, np.float32([[0.5, 0], [0.25, 3]]), "bilinear")
    np.testing.assert_allclose(found, [[0.5**0.5] * 2, np.array([3, 1]) / 10**0.5], rtol=1e-6)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**31), st.sampled_from(HOWS))
def test_sampling_equals_the_reference(height, width, seed, how):
    random = np.random.default_rng(seed)
    features = random.standard_normal((height, width, 5)).astype(np.float32)
    cells = random.uniform(-2, 7, (9, 2)).astype(np.float32)
    truth = reference.sample(features, cells, how)
    np.testing.assert_allclose(sample(features, cells, how), truth, atol=1e-5)


def test_a_zero_descriptor_stays_zero():
    cells = np.zeros((1, 2), np.float32)
    assert sample(np.zeros((2, 2, 3), np.float32), cells).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("count", [1, 3, 31])
def test_the_nearest_rows_best_first(count):
    random = np.random.default_rng(0)
    queries, target = (unit(random.standard_normal((rows, 16))) for rows in (7, 31))
    indices, similarity = nearest(queries, target, count)
    truth_indices, truth = reference.nearest(queries, target, count)
    np.testing.assert_array_equal(indices, truth_indices)
    np.testing.assert_allclose(similarity, truth, atol=1e-6)


def test_equals_by_the_smaller_index():
    target = np.float32([[0, 1], [1, 0], [0, 1], [1, 0]])
    indices, similarity = nearest(np.float32([[1, 0]]), target, 4)
    assert indices.tolist() == [[1, 3, 0, 2]]
    assert similarity.tolist() == [[1, 1, 0, 0]]


def test_what_means_nothing_is_refused():
    rows, cells = np.ones((3, 2), np.float32), np.zeros((1, 2), np.float32)
    for count in (0, 4):
        with pytest.raises(ValueError, match="between 1 and the 3"):
            nearest(rows, rows, count)
    with pytest.raises(ValueError, match="NaN or infinite"):
        nearest(rows * np.float32("nan"), rows)
    with pytest.raises(ValueError, match="it must be 'nearest' or 'bilinear'"):
        sample(rows[None], cells, "cubic")
    with pytest.raises(ValueError, match="no cells"):
        sample(np.ones((0, 3, 2), np.float32), cells)
    with pytest.raises(ValueError, match="a place is NaN"):
        sample(rows[None], cells * np.float32("nan"))
