from __future__ import annotations

import numpy as np
import pytest

import dko

RNG = np.random.default_rng(0)
EXPRESSION = RNG.random(200)
CHANGED = RNG.random(200) < 0.3


def auroc(size, truth):
    pairs = size[truth][:, None] - size[~truth][None, :]
    return ((pairs > 0) + 0.5 * (pairs == 0)).mean()


def test_equals_all_pairs_of_genes():
    predicted = RNG.normal(size=200) + CHANGED
    predicted[5] = np.nan
    kept = np.isfinite(predicted)
    found = dko.metrics.recovery(predicted, CHANGED, expression=EXPRESSION)
    assert found["auroc"] == pytest.approx(auroc(np.abs(predicted[kept]), CHANGED[kept]))
    fifths = np.array_split(np.flatnonzero(kept)[np.argsort(EXPRESSION[kept])], 5)
    matched = np.mean([auroc(np.abs(predicted[part]), CHANGED[part]) for part in fifths])
    assert found["auroc_matched"] == pytest.approx(matched, abs=0.01)


def test_fifths_of_genes_by_expression():
    predicted = np.random.default_rng(1).normal(size=200)
    fifths = np.argsort(EXPRESSION).reshape(5, 40)
    matched = np.mean([auroc(np.abs(predicted[part]), CHANGED[part]) for part in fifths])
    found = dko.metrics.recovery(predicted, CHANGED, expression=EXPRESSION)
    assert found["auroc_matched"] == pytest.approx(matched, rel=1e-12)


def test_limits():
    perfect = dko.metrics.recovery(-CHANGED.astype(float), CHANGED, expression=EXPRESSION)
    assert perfect == {"auprc": 1.0, "auroc": 1.0, "auroc_matched": 1.0}
    nothing = dko.metrics.recovery(np.zeros(200), CHANGED, expression=EXPRESSION)
    assert nothing == pytest.approx({"auprc": CHANGED.mean(), "auroc": 0.5, "auroc_matched": 0.5})


def test_a_list_by_expression_gains_nothing_at_matched_expression():
    expression = RNG.random(5_000)
    changed = RNG.random(5_000) < 0.1 + 0.5 * expression
    found = dko.metrics.recovery(expression, changed, expression=expression)
    assert found["auroc"] > 0.65 and found["auroc_matched"] < 0.55


@pytest.mark.parametrize("share", [False, True])
def test_undefined_without_both_kinds(share):
    found = dko.metrics.recovery(EXPRESSION, np.full(200, share), expression=EXPRESSION)
    assert all(np.isnan(value) for value in found.values())


def test_fifths_without_both_kinds_are_left_out():
    changed = EXPRESSION > np.quantile(EXPRESSION, 0.9)
    found = dko.metrics.recovery(EXPRESSION, changed, expression=EXPRESSION)
    assert found["auroc_matched"] == 1.0


def test_overlap_of_called_and_changed_genes():
    changed = np.array([1, 1, 1, 0, 0, 0], dtype=bool)
    assert dko.metrics.jaccard(np.array([3, -4, 0.1, 2, 0, 0]), changed) == pytest.approx(2 / 4)
    assert dko.metrics.jaccard(np.array([3, -4, 2, 0.1, 0, np.nan]), changed) == 1
    assert dko.metrics.jaccard(np.zeros(6), changed) == 0
    assert np.isnan(dko.metrics.jaccard(np.ones(6), ~changed & changed))
