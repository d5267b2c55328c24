from __future__ import annotations

import numpy as np
import pytest

import dko

MEASURED = np.array([5, -4, 3, -2, 1, 0.5, 9, np.nan])
CHANGED = np.array([1, 1, 1, 1, 1, 1, 0, 1], dtype=bool)


def test_share_of_right_signs_among_those_that_change_most():
    predicted = np.array([1, -1, 0, 1, -1, 1, -1, 1.0])
    assert dko.metrics.direction(predicted, MEASURED, changed=CHANGED) == pytest.approx((2.5 / 4 + 1 / 2) / 2)
    assert dko.metrics.direction(predicted, MEASURED, changed=CHANGED, n_genes=3) == pytest.approx((1.5 / 2 + 1) / 2)


@pytest.mark.parametrize("sign", [1, -1])
def test_one_sign_for_all_genes_is_chance_though_most_rise(sign):
    assert dko.metrics.direction(np.full(8, sign), MEASURED, changed=CHANGED) == 0.5


def test_where_all_change_in_one_direction():
    assert np.isnan(dko.metrics.direction(MEASURED, np.abs(MEASURED), changed=CHANGED))


def test_no_change_is_chance():
    assert dko.metrics.direction(np.zeros(8), MEASURED, changed=CHANGED) == 0.5


def test_too_few_genes_that_change():
    few = CHANGED & (np.arange(8) > 1)
    assert np.isnan(dko.metrics.direction(MEASURED, MEASURED, changed=few))


def test_signs_of_the_genes_that_are_predicted_to_change_most():
    """Six genes with a known direction change, so six are called: all but that of 0; of these, 5 and 9 are wrong."""
    predicted = np.array([-7, -6, 5, 0, 3, 2, -1, 8.0])
    assert dko.metrics.direction_fidelity(predicted, MEASURED, changed=CHANGED) == pytest.approx(4 / 6)
    assert dko.metrics.direction_fidelity(np.zeros(8), MEASURED, changed=CHANGED) == 0
    assert np.isnan(dko.metrics.direction_fidelity(predicted, MEASURED, changed=np.zeros(8, dtype=bool)))


def test_how_far_signs_stay_right():
    """The first 12 of 20 are right but for the third, so purity is 0.9 or more at 1, 2 and from 10 to 13 of them."""
    measured = np.ones(20)
    predicted = np.linspace(20, 1, 20) * np.where(np.arange(20) < 12, 1, -1)
    predicted[2] *= -1
    everything = np.ones(20, dtype=bool)
    assert dko.metrics.direction_reach(predicted, measured, changed=everything) == pytest.approx(12 / 20)
    some = np.arange(20) != 2
    assert dko.metrics.direction_reach(predicted, measured, changed=some) == pytest.approx(12 / 19)
    assert dko.metrics.direction_reach(-predicted[:9], measured[:9], changed=everything[:9]) == 0
    assert dko.metrics.direction_reach(0 * measured, measured, changed=everything) == 0
    assert np.isnan(dko.metrics.direction_reach(predicted, measured, changed=~everything))
