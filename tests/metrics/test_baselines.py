from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LinearRegression

import dko

RNG = np.random.default_rng(0)
DEPTH = RNG.lognormal(0, 0.5, (150, 1))
COUNTS = RNG.poisson(DEPTH * RNG.gamma(1, 1, 12) * np.exp(RNG.normal(size=(150, 1)) * RNG.normal(size=12)))
COUNTS[:, 11] = 0
VALUES = dko.metrics.log_profiles(COUNTS).toarray()
GENES = np.array([4, 2, 11])
FOUND = dko.metrics.baseline_effects(sparse.csr_array(VALUES), GENES)
EXPRESSED = np.arange(12) < 11


def others(gene):
    return np.flatnonzero(EXPRESSED & (np.arange(12) != gene))


def test_co_expression_pair_by_pair():
    depth = np.log1p((VALUES > 0).sum(axis=1))[:, None]
    residual = VALUES - LinearRegression().fit(depth, VALUES).predict(depth)
    for row, gene in enumerate(GENES[:2]):
        for j in others(gene):
            r = np.corrcoef(VALUES[:, gene], VALUES[:, j])[0, 1]
            given_depth = np.corrcoef(residual[:, gene], residual[:, j])[0, 1]
            mean, spread = VALUES[:, j].mean(), VALUES[:, j].std()
            assert FOUND["co-expression"][row, j] == pytest.approx(-r * spread)
            assert FOUND["co-expression sqrt(mean)"][row, j] == pytest.approx(-r * mean**0.5)
            assert FOUND["co-expression mean"][row, j] == pytest.approx(-r * mean)
            assert FOUND["depth-regressed co-expression"][row, j] == pytest.approx(-given_depth * spread)


def test_ridge_partial_correlation_is_from_the_inverse_of_the_penalised_correlations():
    r = np.corrcoef(VALUES[:, EXPRESSED].T)
    inverse = np.linalg.inv(r + 30 * np.eye(11))
    partial = -inverse / np.sqrt(np.outer(np.diag(inverse), np.diag(inverse)))
    for row, gene in enumerate(GENES[:2]):
        kept = others(gene)
        expected = -partial[gene, kept] * np.sqrt(VALUES[:, kept].mean(axis=0))
        np.testing.assert_allclose(FOUND["ridge partial correlation"][row, kept], expected)


def test_low_rank_is_the_correlation_of_the_reconstruction():
    np.testing.assert_allclose(FOUND["low-rank co-expression"], FOUND["co-expression"], atol=1e-8)  # 11 of 12
    values = np.random.default_rng(1).normal(size=(90, 60)) + 3
    found = dko.metrics.baseline_effects(values, [5])["low-rank co-expression"][0]
    centre = values - values.mean(axis=0)
    u, s, v = np.linalg.svd(centre, full_matrices=False)
    r = np.corrcoef(((u[:, :20] * s[:20]) @ v[:20]).T)[5]
    np.testing.assert_allclose(found, -r * values.std(axis=0), rtol=1e-6)


@pytest.fixture
def world():
    """Effects that are linear in features and noise: 20 training perturbations and 10 others, of 50 genes."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(30, 4))
    effects = 1 + features @ rng.normal(size=(4, 50)) + rng.normal(scale=0.1, size=(30, 50))
    return effects[:20], features[:20], features[20:], effects[20:]


def error(found, truth):
    return float(np.square(found - truth).mean())


def test_mean_effect_leaves_out_what_is_unknown():
    effects = np.array([[np.nan, 1.0, 2.0], [4.0, 3.0, np.nan], [2.0, np.nan, np.nan]])
    found = dko.metrics.supervised_effects(effects, np.eye(3), wanted=np.ones((2, 3)))
    np.testing.assert_array_equal(found["mean effect"], [[3, 2, 2]] * 2)


def test_ridge_finds_what_is_linear_and_falls_back_on_the_mean(world):
    effects, features, wanted, truth = world
    found = dko.metrics.supervised_effects(effects, features, wanted=wanted)
    assert error(found["ridge"], truth) < 0.03 < error(found["nearest"], truth) < error(found["mean effect"], truth)
    rng = np.random.default_rng(1)
    found = dko.metrics.supervised_effects(effects, rng.normal(size=(20, 30)), wanted=rng.normal(size=(10, 30)))
    assert error(found["ridge"], truth) < 1.3 * error(found["mean effect"], truth) < error(found["nearest"], truth)
    constant = dko.metrics.supervised_effects(effects, np.ones((20, 2)), wanted=np.ones((10, 2)))
    np.testing.assert_array_equal(constant["ridge"], constant["mean effect"])


def test_nearest_is_by_the_angle_and_the_mean_stands_in_at_perturbed_genes(world):
    effects, features, _, _ = world
    found = dko.metrics.supervised_effects(effects, features, wanted=7 * features[[3, 11]])
    np.testing.assert_array_equal(found["nearest"], effects[[3, 11]])
    hidden = effects.copy()
    hidden[np.arange(20), np.arange(20)] = np.nan
    found = dko.metrics.supervised_effects(hidden, features, wanted=features)
    assert all(np.isfinite(one).all() for one in found.values())
    np.testing.assert_allclose(np.diag(found["nearest"][:, :20]), np.nanmean(hidden, axis=0)[:20])
    np.testing.assert_array_equal(found["nearest"][:, 20:], effects[:, 20:])
