from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import spearmanr

import dko


@pytest.fixture
def profiles():
    rng = np.random.default_rng(0)
    observed = rng.random((20, 6)) * (rng.random((20, 6)) < 0.7)
    observed[:, 0] += 0.1
    predicted = observed * rng.lognormal(0, 0.5, observed.shape)
    return [x / x.sum(axis=1, keepdims=True) for x in (observed, predicted)]


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_by_hand(kind, profiles):
    observed, predicted = profiles
    found = dko.metrics.fit_quality(kind(observed), kind(predicted))
    assert found["bray_curtis"] == pytest.approx(np.abs(observed - predicted).sum(axis=1).mean() / 2)
    on = observed > 0
    assert found["spearman"] == pytest.approx(spearmanr(observed[on], predicted[on]).statistic)
    within = [spearmanr(observed[rows, g], predicted[rows, g]).statistic for g, rows in enumerate(on.T)]
    assert found["spearman_within_gene"] == pytest.approx(np.mean(within))


def test_perfect(profiles):
    found = dko.metrics.fit_quality(profiles[0], profiles[0])
    assert found == pytest.approx({"bray_curtis": 0, "spearman": 1, "spearman_within_gene": 1})


def test_what_cannot_be_told_is_nan():
    found = dko.metrics.fit_quality([[0.5, 0.5]], [[0.5, 0.5]])
    assert found["bray_curtis"] == 0
    assert np.isnan(found["spearman"]) and np.isnan(found["spearman_within_gene"])
