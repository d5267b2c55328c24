from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

import dko

EFFECTS = np.random.default_rng(0).normal(size=(5, 30))


def test_equals_scipy():
    found = dko.metrics.similarity(EFFECTS)
    expected = spearmanr(np.abs(EFFECTS), axis=1).statistic
    np.testing.assert_allclose(found, (expected.sum(axis=1) - 1) / 4)


def test_genes_that_either_has_lost_are_left_out():
    effects = np.tile(np.arange(1.0, 31), (3, 1))
    effects[np.arange(3), np.arange(3)] = np.nan
    # Ranks are those within each effect, so that a lost gene in the middle moves the others up by one.
    np.testing.assert_allclose(dko.metrics.similarity(effects), 1, atol=1e-3)


def test_undefined_for_no_change_and_without_others():
    effects = EFFECTS.copy()
    effects[1] = 0
    effects[3] = np.nan
    found = dko.metrics.similarity(effects)
    assert np.isnan(found).tolist() == [False, True, False, True, False]
    assert found[0] == pytest.approx(dko.metrics.similarity(EFFECTS[[0, 2, 4]])[0])
    assert np.isnan(dko.metrics.similarity(EFFECTS[:1])).all()
