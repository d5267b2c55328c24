from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import dko

A, B = np.random.default_rng(0).normal(size=(2, 30))


def test_equals_scipy_without_what_is_unknown():
    a, b = A.copy(), np.round(B, 1)
    a[3], b[7] = np.nan, np.nan
    kept = np.isfinite(a) & np.isfinite(b)
    assert dko.metrics.correlation(a, b) == pytest.approx(stats.pearsonr(a[kept], b[kept]).statistic)
    rank = stats.spearmanr(a[kept], b[kept]).statistic
    assert dko.metrics.correlation(a, b, method="spearman") == pytest.approx(rank)


@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_no_change_has_no_direction(method):
    for constant in (np.zeros(30), np.full(30, 0.1) + 1e-16 * A):
        assert dko.metrics.correlation(constant, B, method=method) == 0.0
        assert dko.metrics.correlation(B, constant, method=method) == 0.0


def test_too_few_genes():
    assert np.isnan(dko.metrics.correlation(np.array([1.0, 2.0, np.nan]), np.arange(3.0)))
    assert np.isnan(dko.metrics.correlation(np.full(9, np.nan), np.arange(9.0)))


def test_other_methods_are_refused():
    with pytest.raises(ValueError, match="'pearson' or 'spearman'"):
        dko.metrics.correlation(A, B, method="kendall")
