"""The fast kernels against the float64 reference, and both against what is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geoaware.kernels import SoftArgmax, match, reference, unit, window_softargmax

VARIANTS = ("zeroed", "cropped")

shapes = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5))


@st.composite
def descriptors(draw, at_most_queries=4):
    """Queries and a target of small whole numbers: ties, zeros and negative cosines abound."""
    height, width, channels = draw(shapes)
    values = st.integers(-2, 2).map(float)
    queries = draw(
        arrays(np.float32, (draw(st.integers(1, at_most_queries)), channels), elements=values)
    )
    target = draw(arrays(np.float32, (height, width, channels), elements=values))
    return queries, target


def separated(queries: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Queries whose highest similarity is one cell's alone, by more than rounding can hide."""
    height, width, _ = target.shape
    flat = reference.cosine_similarity(queries, target).reshape(-1, height * width)
    top = np.sort(flat, axis=1)[:, -2:]
    return np.ptp(top, axis=1) > 1e-5 if flat.shape[1] > 1 else np.ones(len(queries), bool)


@settings(max_examples=300, deadline=None)
@given(
    descriptors(),
    st.integers(-5, 12),
    st.sampled_from([0.005, 0.02, 0.1, 1.0]),
    st.sampled_from(VARIANTS),
    st.sampled_from([1e-25, 1.0, 1e20]),
)
def test_fast_equals_reference(case, window, temperature, variant, scale):
    queries, target = case[0], case[1] * np.float32(scale)
    window = abs(window) | 1 if variant == "cropped" else window
    keep = separated(queries, target)
    fast = window_softargmax(queries[keep], target, window, temperature, variant)
    truth = reference.window_softargmax(queries[keep], target, window, temperature, variant)
    np.testing.assert_allclose(fast, truth, atol=2e-3)


@settings(max_examples=200, deadline=None)
@given(descriptors(), st.integers(-5, 12), st.sampled_from(VARIANTS))
def test_answer_stays_on_the_grid(case, window, variant):
    queries, target = case
    window = abs(window) | 1 if variant == "cropped" else window
    cells = window_softargmax(queries, target, window, 0.1, variant)
    height, width, _ = target.shape
    assert np.isfinite(cells).all()
    assert (cells >= -1e-4).all()
    assert (cells <= np.array([width - 1, height - 1]) + 1e-4).all()


@settings(max_examples=100, deadline=None)
@given(descriptors())
def test_argmax_equals_reference(case):
    queries, target = case
    keep = separated(queries, target)
    found = match(unit(queries[keep]), unit(target))
    np.testing.assert_array_equal(found.cells, reference.argmax(queries[keep], target))


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (31, 3), (60, 60), (61, 59)])
@pytest.mark.parametrize("variant", VARIANTS)
def test_real_sizes(shape, variant):
    random = np.random.default_rng(0)
    queries = random.standard_normal((13, 64)).astype(np.float32)
    target = random.standard_normal((*shape, 64)).astype(np.float32)
    fast = window_softargmax(queries, target, 7, 0.05, variant)
    truth = reference.window_softargmax(queries, target, 7, 0.05, variant)
    np.testing.assert_allclose(fast, truth, atol=2e-3)


def test_zeroed_by_hand():
    """A row of three cells, cosines 1, 0.6, -1; the window keeps the first two.

    Weights exp(1), exp(0.6) and, the third being zeroed, exp(0).
    """
    queries = np.array([[1.0, 0.0]])
    target = np.array([[[1.0, 0.0], [0.6, 0.8], [-1.0, 0.0]]])
    weights = np.exp([1.0, 0.6, 0.0])
    expected = weights @ [0, 1, 2] / weights.sum()
    for implementation in (reference.window_softargmax, window_softargmax):
        cells = implementation(queries, target, 1, 1.0, "zeroed")
        np.testing.assert_allclose(cells, [[expected, 0.0]], rtol=1e-5)


def test_cropped_by_hand():
    """The same row: a window of three cells around the first holds the first two only."""
    queries = np.array([[1.0, 0.0]])
    target = np.array([[[1.0, 0.0], [0.6, 0.8], [-1.0, 0.0]]])
    weights = np.exp([1.0, 0.6])
    expected = weights[1] / weights.sum()
    for implementation in (reference.window_softargmax, window_softargmax):
        cells = implementation(queries, target, 3, 1.0, "cropped")
        np.testing.assert_allclose(cells, [[expected, 0.0]], rtol=1e-5)


def test_window_0_of_zeroed_keeps_every_cell():
    random = np.random.default_rng(1)
    queries = random.standard_normal((5, 8)).astype(np.float32)
    target = random.standard_normal((6, 4, 8)).astype(np.float32)
    whole = window_softargmax(queries, target, 0, 0.3, "zeroed")
    np.testing.assert_allclose(
        whole, window_softargmax(queries, target, 5, 0.3, "zeroed"), atol=1e-5
    )
    similarity = reference.cosine_similarity(queries, target) / 0.3
    weights = np.exp(similarity) / np.exp(similarity).sum(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(whole[:, 0], (weights.sum(1) * np.arange(4)).sum(1), atol=1e-4)
    np.testing.assert_allclose(whole[:, 1], (weights.sum(2) * np.arange(6)).sum(1), atol=1e-4)


@pytest.mark.parametrize("temperature", [0.005, 0.02, 0.05])
@pytest.mark.parametrize(("shape", "window"), [((1, 1), 3), ((1, 2), 0), ((1, 2), 5), ((3, 3), 1)])
def test_negative_similarities_everywhere(shape, window, temperature):
    """Where the window holds the whole grid no cell is zeroed, and only differences count."""
    angles = np.pi * np.linspace(0.75, 1, shape[0] * shape[1])
    angles[len(angles) // 2] = np.pi * 0.7
    target = np.stack([np.cos(angles), np.sin(angles)], axis=1).reshape(*shape, 2)
    queries = np.array([[1.0, 0.0]])
    fast = window_softargmax(queries, target, window, temperature, "zeroed")
    truth = reference.window_softargmax(queries, target, window, temperature, "zeroed")
    np.testing.assert_allclose(fast, truth, atol=1e-3)


def test_gaussian_by_hand():
    """Cosines 1, 0.6, -1 in a row, sigma 1: factors exp(0), exp(-1/2), exp(-2)."""
    queries = np.array([[1.0, 0.0]])
    target = np.array([[[1.0, 0.0], [0.6, 0.8], [-1.0, 0.0]]])
    weights = np.exp([1.0, 0.6 * np.exp(-0.5), -np.exp(-2.0)])
    expected = weights @ [0, 1, 2] / weights.sum()
    for implementation in (reference.window_softargmax, window_softargmax):
        cells = implementation(queries, target, -1, 1.0, "zeroed")
        np.testing.assert_allclose(cells, [[expected, 0.0]], rtol=1e-5)


def test_a_target_without_cells_is_refused():
    with pytest.raises(ValueError, match="no cells"):
        match(np.ones((1, 3), np.float32), np.ones((0, 4, 3), np.float32))


def test_low_temperature_is_argmax():
    random = np.random.default_rng(2)
    queries, target = random.standard_normal((9, 32)), random.standard_normal((8, 8, 32))
    for variant, window in (("zeroed", 3), ("cropped", 5)):
        cells = window_softargmax(queries, target, window, 1e-4, variant)
        np.testing.assert_allclose(cells, reference.argmax(queries, target), atol=1e-3)


def test_ties_go_to_the_smaller_index():
    target = np.ones((3, 3, 2), np.float32)
    found = match(unit(np.ones((1, 2))), unit(target))
    assert found.peaks.tolist() == [0]
    assert found.similarity == pytest.approx(1.0)


def test_zero_descriptor_has_no_direction():
    target = np.zeros((2, 2, 3), np.float32)
    assert match(unit(np.ones((1, 3))), unit(target)).similarity.tolist() == [0.0]


def test_no_queries_give_no_cells():
    target = unit(np.ones((2, 2, 3)))
    assert window_softargmax(np.empty((0, 3)), target, 3, 0.1, "cropped").shape == (0, 2)
    assert reference.window_softargmax(np.empty((0, 3)), target, 3, 0.1, "cropped").shape == (0, 2)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(bad):
    queries, target = np.ones((2, 3)), np.ones((2, 2, 3))
    spoiled = target.copy()
    spoiled[1, 1, 0] = bad
    for implementation in (reference.window_softargmax, window_softargmax):
        with np.errstate(all="ignore"), pytest.raises(ValueError, match="NaN or infinite"):
            implementation(queries, spoiled, 3, 0.1, "cropped")
        with np.errstate(all="ignore"), pytest.raises(ValueError, match="NaN or infinite"):
            implementation(queries * bad, target, 3, 0.1, "cropped")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ((-1, 0.1, "cropped"), "odd and positive"),
        ((4, 0.1, "cropped"), "must be odd"),
        ((3, 0.0, "cropped"), "must lie between"),
        ((3, float("nan"), "cropped"), "must lie between"),
        ((3, 1e-50, "cropped"), "must lie between"),
        ((3, 1e300, "cropped"), "must lie between"),
        ((3, 0.1, "other"), "neither"),
    ],
)
def test_settings_that_mean_nothing_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        SoftArgmax(*setting)


def test_dense_matching_stays_below_300_mb():
    """Two 60 x 60 maps of 768 channels, every cell asked, with the largest window there is."""
    import tracemalloc

    random = np.random.default_rng(3)
    source = unit(random.standard_normal((3600, 768)))
    target = unit(random.standard_normal((60, 60, 768)))
    for soft in (
        None,
        SoftArgmax(7, 0.05, "zeroed"),
        SoftArgmax(58, 0.05, "zeroed"),
        SoftArgmax(-7, 0.05, "zeroed"),
    ):
        tracemalloc.start()
        match(source, target, soft)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 300e6
