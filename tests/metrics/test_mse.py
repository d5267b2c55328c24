from __future__ import annotations

import numpy as np
import pytest

import dko


def test_mean_of_squares_over_what_is_known():
    assert dko.metrics.mse(np.array([1.0, 2.0, np.nan, 7.0]), np.array([1.0, 4.0, 3.0, np.nan])) == pytest.approx(2)
    assert dko.metrics.mse(np.zeros(3), np.full(3, -2.0)) == pytest.approx(4)
    assert np.isnan(dko.metrics.mse(np.full(3, np.nan), np.ones(3)))


def test_the_truth_is_at_the_noise_of_the_measurement():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=20_000)
    assert dko.metrics.mse(truth, truth + rng.normal(scale=0.3, size=20_000)) == pytest.approx(0.09, rel=0.03)
