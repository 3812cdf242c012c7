"""Nearest neighbours both ways, against all distances in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geoaware.kernels import neighbours, reference, unit


@st.composite
def sets(draw):
    channels = draw(st.integers(1, 4))
    values = st.integers(-3, 3).map(float)
    sizes = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    return [draw(arrays(np.float32, (size, channels), elements=values)) for size in sizes]


@settings(max_examples=200, deadline=None)
@given(sets())
def test_nearest_both_ways_with_ties_to_the_smaller_index(case):
    a, b = case
    truth = reference.distances(a, b)
    found = neighbours(a, b)
    assert found.forward.tolist() == truth.argmin(axis=1).tolist()
    assert found.backward.tolist() == truth.argmin(axis=0).tolist()
    np.testing.assert_allclose(found.distance, truth.min(axis=1), atol=1e-5)


def test_blocks_give_what_one_product_gives():
    generator = np.random.default_rng(0)
    a, b = (unit(generator.standard_normal((n, 8)).astype(np.float32)) for n in (1500, 1400))
    truth = reference.distances(a, b)
    found = neighbours(a, b)
    forward, backward = truth.argmin(axis=1), truth.argmin(axis=0)
    assert (found.forward == forward).mean() > 0.999
    assert (found.backward == backward).mean() > 0.999
    mutual = backward[forward] == np.arange(len(a))
    assert (found.mutual == mutual).mean() > 0.999


def test_mutual_by_hand():
    a = np.array([[0.0], [1.0], [10.0]], np.float32)
    b = np.array([[0.9], [9.0]], np.float32)
    found = neighbours(a, b)
    assert found.forward.tolist() == [0, 0, 1]
    assert found.backward.tolist() == [1, 2]
    assert found.mutual.tolist() == [False, True, True]


def test_nothing_to_be_near_to_is_refused():
    with pytest.raises(ValueError, match="no cells"):
        neighbours(np.ones((2, 3), np.float32), np.ones((0, 3), np.float32))
