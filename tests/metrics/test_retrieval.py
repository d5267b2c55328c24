from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

import dko
from dko.metrics import neighbour_agreement

RNG = np.random.default_rng(0)


def screen(n=8, n_genes=40):
    """Measured effects without the lost gene, one of them of two genes."""
    measured = RNG.normal(size=(n, n_genes))
    measured[np.arange(n), np.arange(n)] = np.nan
    measured[0, 20] = np.nan
    return measured


def naive(predicted, measured):
    found = []
    for i, own in enumerate(measured):
        better = []
        for j, other in enumerate(measured):
            if i != j:
                kept = np.isfinite(own + other)
                mine, theirs = (dko.metrics.correlation(predicted[i][kept], truth[kept]) for truth in (own, other))
                better.append(0.5 if abs(mine - theirs) < 1e-9 else float(mine > theirs))
        found.append(np.mean(better))
    return found


def test_equals_a_loop_over_pairs():
    measured = screen()
    predicted = measured + 3 * RNG.normal(size=measured.shape)
    np.testing.assert_allclose(dko.metrics.retrieval(predicted, measured), naive(predicted, measured))
    centred = []
    for effects in (predicted, measured):
        others = [np.nanmean(np.delete(effects, i, axis=0), axis=0) for i in range(len(effects))]
        centred.append(effects - np.array(others))
    np.testing.assert_allclose(dko.metrics.retrieval(predicted, measured, centred=True), naive(*centred))


def test_one_list_for_all_knockouts_is_at_chance_however_well_it_correlates():
    common = RNG.normal(size=500)
    measured = common + 0.5 * RNG.normal(size=(12, 500))
    lost = np.eye(12, 500, dtype=bool)
    measured[lost] = np.nan
    predicted = np.where(lost, np.nan, common)
    assert dko.metrics.correlation(predicted[0], measured[0]) > 0.8
    assert dko.metrics.retrieval(predicted, measured).mean() == pytest.approx(0.5, abs=0.02)
    np.testing.assert_array_equal(dko.metrics.retrieval(predicted, measured, centred=True), 0.5)
    np.testing.assert_array_equal(dko.metrics.retrieval(0 * predicted, measured), 0.5)


def test_unknown_predictions_are_left_out():
    measured = screen()
    predicted = measured.copy()
    predicted[2] = np.nan
    np.testing.assert_array_equal(dko.metrics.retrieval(predicted, measured), [1, 1, np.nan, 1, 1, 1, 1, 1])
    assert np.isnan(dko.metrics.retrieval(measured[:2], measured[:2])).all()


def test_by_the_cosine_of_genes_that_nothing_has_lost():
    """The first fits its own best, the second all alike, the third both others better than its own."""
    measured = np.array([[1.0, 0, 0, np.nan], [0, 1, 0, 7], [0, 0, 1, 7]])
    predicted = np.array([[2.0, 1, 0, 0], [1, 1, 1, -9], [2, 2, 1, 9]])
    np.testing.assert_array_equal(dko.metrics.retrieval(predicted, measured, cosine=True), [1, 0.5, 0])
    np.testing.assert_array_equal(dko.metrics.retrieval(0 * predicted, measured, cosine=True), 0.5)
    predicted[1] = np.nan
    assert np.isnan(dko.metrics.retrieval(predicted, measured, cosine=True)).all(), "two are too few"
    assert np.isnan(dko.metrics.retrieval(predicted[:, 3:], measured[:, 3:], cosine=True)).all(), "no gene is left"


EFFECTS = np.random.default_rng(0).normal(size=(5, 30))


def test_equals_scipy():
    found = dko.metrics.similarity(EFFECTS)
    expected = spearmanr(np.abs(EFFECTS), axis=1).statistic
    np.testing.assert_allclose(found, (expected.sum(axis=1) - 1) / 4)


def test_undefined_for_no_change_and_without_others():
    effects = EFFECTS.copy()
    effects[1] = 0
    effects[3] = np.nan
    found = dko.metrics.similarity(effects)
    assert np.isnan(found).tolist() == [False, True, False, True, False]
    assert found[0] == pytest.approx(dko.metrics.similarity(EFFECTS[[0, 2, 4]])[0])
    assert np.isnan(dko.metrics.similarity(EFFECTS[:1])).all()


def test_known_neighbours():
    angles = np.deg2rad([0, 5, 90, 96, 180, 187])
    vectors = np.column_stack([np.cos(angles), np.sin(angles)]) * [[1], [9], [2], [1], [3], [1]]
    found = neighbour_agreement(vectors, ["a", "a", "b", "b", "c", "a"])
    assert neighbour_agreement(vectors, ["a", "a", "b", "b", "c", "a"]) == found, "a seed decides"
    assert found.share == pytest.approx(4 / 6)
    # The chance that two of the six are of one group: three, two and one.
    assert found.expected == pytest.approx((3 * 2 + 2 * 1) / 30, abs=0.03)
    perfect = neighbour_agreement(vectors, ["a", "a", "b", "b", "c", "c"])
    # 3! of 6! / 2!^3 orders.
    assert perfect.share == 1 and perfect.p_value == pytest.approx(6 / 90, abs=0.03)
