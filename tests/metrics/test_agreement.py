"""One predicted against one measured effect."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

import dko

M = dko.metrics
A, B = np.random.default_rng(0).normal(size=(2, 30))
MEASURED = np.array([1.0, -2.0, 3.0, np.nan, 0.5])
PREDICTED = np.array([0.5, -1.0, 0.0, 4.0, np.nan])
SIGNS = np.array([5, -4, 3, -2, 1, 0.5, 9, np.nan])
OF_SIGNS = np.array([1, 1, 1, 1, 1, 1, 0, 1], dtype=bool)
RNG = np.random.default_rng(0)
EXPRESSION = RNG.random(200)
CHANGED = RNG.random(200) < 0.3
GRID = np.linspace(-1, 3, 41)


def test_correlation_equals_scipy_without_what_is_unknown():
    a, b = A.copy(), np.round(B, 1)
    a[3], b[7] = np.nan, np.nan
    kept = np.isfinite(a) & np.isfinite(b)
    assert M.correlation(a, b) == pytest.approx(stats.pearsonr(a[kept], b[kept]).statistic)
    assert M.correlation(a, b, method="spearman") == pytest.approx(stats.spearmanr(a[kept], b[kept]).statistic)


@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_no_change_has_no_direction(method):
    for constant in (np.zeros(30), np.full(30, 0.1) + 1e-16 * A):
        assert M.correlation(constant, B, method=method) == M.correlation(B, constant, method=method) == 0.0


def test_correlation_of_too_few_genes():
    assert np.isnan(M.correlation(np.array([1.0, 2.0, np.nan]), np.arange(3.0)))


def test_errors_of_three_genes_by_hand():
    """Squares of 0.5, -1 and 3 are left of those of 1, -2 and 3; the products are 0.5, 2 and 0."""
    assert M.mse(PREDICTED, MEASURED) == pytest.approx(10.25 / 3)
    assert M.mse(PREDICTED, MEASURED, noise=0.25) == pytest.approx(10.25 / 3 - 0.25)
    assert M.relative_error(PREDICTED, MEASURED) == pytest.approx(10.25 / 14)
    assert M.calibration_slope(PREDICTED, MEASURED) == pytest.approx(2.5 / 1.25)


def test_the_strength_that_was_there_is_found():
    for strength in (-0.5, 0.0, 1.7):
        assert M.oracle_strength(np.outer(GRID, A), strength * A, strengths=GRID) == pytest.approx(strength)
    measured, grid = np.array([2.0, 4.0, np.nan]), np.outer(GRID, [1.0, 2.0, -1.0])
    grid[:, 2] += 100  # of a gene that is unknown
    assert M.oracle_strength(grid, measured, strengths=GRID) == pytest.approx(2)
    assert np.isnan(M.oracle_strength(grid, np.full(3, np.nan), strengths=GRID))


def test_right_signs_among_the_genes_that_change_most():
    predicted = np.array([1, -1, 0, 1, -1, 1, -1, 1.0])
    assert M.direction(predicted, SIGNS, changed=OF_SIGNS) == pytest.approx((2.5 / 4 + 1 / 2) / 2)
    assert M.direction(predicted, SIGNS, changed=OF_SIGNS, n_genes=3) == pytest.approx((1.5 / 2 + 1) / 2)
    for blind in (np.ones(8), -np.ones(8), np.zeros(8)):
        assert M.direction(blind, SIGNS, changed=OF_SIGNS) == 0.5
    assert np.isnan(M.direction(SIGNS, np.abs(SIGNS), changed=OF_SIGNS)), "all change in one direction"
    assert np.isnan(M.direction(SIGNS, SIGNS, changed=OF_SIGNS & (np.arange(8) > 1))), "too few genes"


def test_signs_of_the_genes_that_are_predicted_to_change_most():
    """Six genes with a known direction change, so six are called: all but that of 0; of these, 5 and 9 are wrong."""
    predicted = np.array([-7, -6, 5, 0, 3, 2, -1, 8.0])
    assert M.direction_fidelity(predicted, SIGNS, changed=OF_SIGNS) == pytest.approx(4 / 6)
    assert M.direction_fidelity(np.zeros(8), SIGNS, changed=OF_SIGNS) == 0
    assert np.isnan(M.direction_fidelity(predicted, SIGNS, changed=np.zeros(8, dtype=bool)))


def test_how_far_signs_stay_right():
    """The first 12 of 20 are right but for the third, so purity is 0.9 or more at 1, 2 and from 10 to 13 of them."""
    measured, everything = np.ones(20), np.ones(20, dtype=bool)
    predicted = np.linspace(20, 1, 20) * np.where(np.arange(20) < 12, 1, -1)
    predicted[2] *= -1
    assert M.direction_reach(predicted, measured, changed=everything) == pytest.approx(12 / 20)
    assert M.direction_reach(predicted, measured, changed=np.arange(20) != 2) == pytest.approx(12 / 19)
    assert M.direction_reach(-predicted[:9], measured[:9], changed=everything[:9]) == 0
    assert M.direction_reach(0 * measured, measured, changed=everything) == 0
    assert np.isnan(M.direction_reach(predicted, measured, changed=~everything))


def auroc(size, truth):
    pairs = size[truth][:, None] - size[~truth][None, :]
    return ((pairs > 0) + 0.5 * (pairs == 0)).mean()


def test_recovery_equals_all_pairs_of_genes():
    predicted = np.random.default_rng(1).normal(size=200) + CHANGED
    found = M.recovery(predicted, CHANGED, expression=EXPRESSION)
    assert found["auroc"] == pytest.approx(auroc(np.abs(predicted), CHANGED))
    fifths = np.argsort(EXPRESSION).reshape(5, 40)
    matched = np.mean([auroc(np.abs(predicted[part]), CHANGED[part]) for part in fifths])
    assert found["auroc_matched"] == pytest.approx(matched, rel=1e-12)
    predicted[5] = np.nan
    kept = np.isfinite(predicted)
    assert M.recovery(predicted, CHANGED, expression=EXPRESSION) == M.recovery(
        predicted[kept], CHANGED[kept], expression=EXPRESSION[kept]
    )


def test_limits_of_recovery():
    perfect = M.recovery(-CHANGED.astype(float), CHANGED, expression=EXPRESSION)
    assert perfect == {"auprc": 1.0, "auroc": 1.0, "auroc_matched": 1.0}
    nothing = M.recovery(np.zeros(200), CHANGED, expression=EXPRESSION)
    assert nothing == pytest.approx({"auprc": CHANGED.mean(), "auroc": 0.5, "auroc_matched": 0.5})
    top = M.recovery(EXPRESSION, np.quantile(EXPRESSION, 0.9) < EXPRESSION, expression=EXPRESSION)
    assert top["auroc_matched"] == 1.0, "fifths without both kinds are left out"
    for share in (False, True):
        undefined = M.recovery(EXPRESSION, np.full(200, share), expression=EXPRESSION)
        assert all(np.isnan(value) for value in undefined.values())


def test_overlap_of_called_and_changed_genes():
    changed = np.array([1, 1, 1, 0, 0, 0], dtype=bool)
    assert M.jaccard(np.array([3, -4, 0.1, 2, 0, 0]), changed) == pytest.approx(2 / 4)
    assert M.jaccard(np.array([3, -4, 2, 0.1, 0, np.nan]), changed) == 1
    assert M.jaccard(np.zeros(6), changed) == 0
    assert np.isnan(M.jaccard(np.ones(6), ~changed & changed))


# What cell-eval2 0.20.0 gave for the effects below, as tables in which as many genes are called as change.
CELL_EVAL = {
    "direction_fidelity": [1.0, 0.83333, 0.42857, 0.0, 0.8125],
    "direction_reach": [1.0, 0.33333, 0.0, 0.0, 0.375],
    "jaccard": [0.33333, 0.2, 0.07692, 0.0, 0.3913],
    "retrieval": [1.0, 1.0, 0.5, 0.5, 1.0],
    "mse": [0.9721, 1.0455, 2.43678, 0.83325, 1.23884],
}


def test_numbers_are_those_of_cell_eval():
    """The fourth prediction says nothing; no effect is known on the own gene, which cell-eval2 takes for 0."""
    rng, own = np.random.default_rng(0), np.arange(5)
    measured = rng.normal(size=(5, 30))
    predicted = 0.6 * measured + rng.normal(size=(5, 30))
    predicted[3] = 0
    measured[own, own] = predicted[own, own] = np.nan
    changed = rng.random((5, 30)) < np.linspace(0.1, 0.6, 5)[:, None]
    found: dict[str, Any] = {"retrieval": M.retrieval(predicted, measured, cosine=True)}
    found["mse"] = [M.mse(*map(np.nan_to_num, both)) for both in zip(predicted, measured, strict=True)]
    for name in ("direction_fidelity", "direction_reach"):
        of_each = zip(predicted, measured, changed, strict=True)
        found[name] = [getattr(M, name)(one, truth, changed=of) for one, truth, of in of_each]
    found["jaccard"] = [M.jaccard(one, of) for one, of in zip(predicted, changed, strict=True)]
    for name, expected in CELL_EVAL.items():
        np.testing.assert_allclose(found[name], expected, atol=1e-5, err_msg=name)
