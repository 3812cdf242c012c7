"""Bootstrap intervals: the same on every call, and as wide as theory has them."""

from __future__ import annotations

import numpy as np

from geoaware.runtime.evaluation.statistics import RESAMPLES, bootstrap_means, interval


def test_the_interval_of_a_mean_is_about_two_standard_errors_to_each_side():
    values = np.random.default_rng(1).normal(50, 10, (400, 1))
    low, high = interval(bootstrap_means(values))
    error = values.std() / np.sqrt(len(values))
    np.testing.assert_allclose(
        [low[0], high[0]], values.mean() + 1.96 * error * np.array([-1, 1]), atol=0.15
    )


def test_resamples_are_the_same_every_time_and_for_every_column():
    values = np.random.default_rng(2).random((30, 1))
    first = bootstrap_means(np.hstack([values, values]))
    assert first.shape == (RESAMPLES, 2)
    assert (first[:, 0] == first[:, 1]).all()
    assert (first == bootstrap_means(np.hstack([values, values]))).all()


def test_one_pair_has_an_interval_of_no_width():
    low, high = interval(bootstrap_means(np.array([[70.0]])))
    assert low == high == 70
