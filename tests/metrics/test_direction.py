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
