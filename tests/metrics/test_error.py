from __future__ import annotations

import numpy as np
import pytest

import dko

MEASURED = np.array([1.0, -2.0, 3.0, np.nan, 0.5])
PREDICTED = np.array([0.5, -1.0, 0.0, 4.0, np.nan])


def test_three_genes_by_hand():
    """Squares of 0.5, -1 and 3 are left of those of 1, -2 and 3; the products are 0.5, 2 and 0."""
    assert dko.metrics.mse(PREDICTED, MEASURED) == pytest.approx(10.25 / 3)
    assert dko.metrics.mse(PREDICTED, MEASURED, noise=0.25) == pytest.approx(10.25 / 3 - 0.25)
    assert dko.metrics.relative_error(PREDICTED, MEASURED) == pytest.approx(10.25 / 14)
    assert dko.metrics.calibration_slope(PREDICTED, MEASURED) == pytest.approx(2.5 / 1.25)


@pytest.mark.parametrize(("factor", "error"), [(1.0, 0.0), (0.5, 0.25), (2.0, 1.0), (-1.0, 4.0)])
def test_the_slope_is_the_factor_that_is_missing(factor, error):
    assert dko.metrics.calibration_slope(factor * MEASURED, MEASURED) == pytest.approx(1 / factor)
    assert dko.metrics.relative_error(factor * MEASURED, MEASURED) == pytest.approx(error)


def test_no_change_has_an_error_of_one_and_no_size():
    assert dko.metrics.relative_error(0 * MEASURED, MEASURED) == 1
    assert np.isnan(dko.metrics.calibration_slope(0 * MEASURED, MEASURED))


def test_nothing_known_or_nothing_changed():
    for metric in (dko.metrics.mse, dko.metrics.relative_error, dko.metrics.calibration_slope):
        assert np.isnan(metric(np.full(3, np.nan), np.ones(3)))
    assert np.isnan(dko.metrics.relative_error(np.ones(3), np.zeros(3)))


def test_noise_of_the_measurement_is_subtracted_and_leaves_the_slope():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=20_000)
    measured = truth + rng.normal(scale=0.3, size=20_000)
    assert dko.metrics.mse(truth, measured, noise=0.09) == pytest.approx(0, abs=0.003)
    assert dko.metrics.calibration_slope(truth, measured) == pytest.approx(1, abs=0.01)


def test_a_score_between_baseline_and_replicate():
    assert dko.metrics.scaled(0.6, baseline=0.5, replicate=0.9) == pytest.approx(0.25)
    assert dko.metrics.scaled(0.8, baseline=1.0, replicate=0.2, lower_is_better=True) == pytest.approx(0.25)
    assert dko.metrics.scaled(0.4, baseline=0.5, replicate=0.9) == pytest.approx(-0.25)
    assert np.isnan(dko.metrics.scaled(0.4, baseline=0.5, replicate=0.4))
    assert np.isnan(dko.metrics.scaled(0.4, baseline=0.5, replicate=0.9, lower_is_better=True))
