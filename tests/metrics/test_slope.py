from __future__ import annotations

import numpy as np
import pytest

import dko

RNG = np.random.default_rng(0)


def test_a_prediction_of_half_the_size_has_half_the_slope():
    measured = RNG.normal(size=50)
    assert dko.metrics.slope(measured, measured) == pytest.approx(1)
    assert dko.metrics.slope(0.5 * measured + 3, measured) == pytest.approx(0.5)
    assert dko.metrics.slope(np.zeros(50), measured) == 0
    np.testing.assert_allclose(dko.metrics.slope(-2 * measured, measured), -2)


def test_it_is_the_regression_on_the_measured_one():
    measured, predicted = RNG.normal(size=(2, 40))
    assert dko.metrics.slope(predicted, measured) == pytest.approx(np.polyfit(measured, predicted, 1)[0])
    known = np.where(np.arange(40) % 5, measured, np.nan)
    predicted[3] = np.nan
    kept = np.isfinite(known) & np.isfinite(predicted)
    expected = np.polyfit(measured[kept], predicted[kept], 1)[0]
    assert dko.metrics.slope(predicted, known) == pytest.approx(expected)


def test_the_truth_has_the_reliability_of_the_measurement():
    truth = RNG.normal(size=20_000)
    measured = truth + RNG.normal(scale=0.5, size=20_000)
    assert dko.metrics.slope(truth, measured) == pytest.approx(1 / 1.25, abs=0.01)


def test_nothing_to_regress_on():
    assert np.isnan(dko.metrics.slope(RNG.normal(size=9), np.full(9, 0.1)))
    assert np.isnan(dko.metrics.slope(RNG.normal(size=2), RNG.normal(size=2)))
