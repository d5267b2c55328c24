from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LinearRegression, Ridge

import dko
from dko.metrics import _baselines

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


def test_every_baseline_is_known_and_finite():
    for name, effects in FOUND.items():
        assert effects.shape == (3, 12) and np.isfinite(effects).all(), name
    assert list(FOUND)[-1] == "permuted cells" and len(FOUND) == 10


def test_blind_baselines_say_the_same_of_every_gene():
    np.testing.assert_allclose(FOUND["gene mean"], np.tile(-VALUES.mean(axis=0), (3, 1)))
    np.testing.assert_allclose(FOUND["gene spread"], np.tile(-VALUES.std(axis=0), (3, 1)))


def test_co_expression_by_pairs():
    for row, gene in enumerate(GENES[:2]):
        for j in others(gene):
            r = np.corrcoef(VALUES[:, gene], VALUES[:, j])[0, 1]
            assert FOUND["co-expression"][row, j] == pytest.approx(-r * VALUES[:, j].std())
            assert FOUND["co-expression sqrt(mean)"][row, j] == pytest.approx(-r * VALUES[:, j].mean() ** 0.5)
            assert FOUND["co-expression mean"][row, j] == pytest.approx(-r * VALUES[:, j].mean())


def test_ridge_partial_correlation_is_from_the_inverse_of_the_penalised_correlations():
    r = np.corrcoef(VALUES[:, EXPRESSED].T)
    inverse = np.linalg.inv(r + 30 * np.eye(11))
    partial = -inverse / np.sqrt(np.outer(np.diag(inverse), np.diag(inverse)))
    for row, gene in enumerate(GENES[:2]):
        kept = others(gene)
        expected = -partial[gene, kept] * np.sqrt(VALUES[:, kept].mean(axis=0))
        np.testing.assert_allclose(FOUND["ridge partial correlation"][row, kept], expected)


def test_partial_correlation_is_that_of_the_residuals():
    depth = np.log1p((VALUES > 0).sum(axis=1))[:, None]
    left = VALUES - LinearRegression().fit(depth, VALUES).predict(depth)
    for row, gene in enumerate(GENES[:2]):
        for j in others(gene):
            r = np.corrcoef(left[:, gene], left[:, j])[0, 1]
            assert FOUND["depth-regressed co-expression"][row, j] == pytest.approx(-r * VALUES[:, j].std())


def test_low_rank_is_the_correlation_of_the_reconstruction(monkeypatch):
    np.testing.assert_allclose(FOUND["low-rank co-expression"], FOUND["co-expression"], atol=1e-8)  # 11 of 12
    monkeypatch.setattr(_baselines, "N_COMPONENTS", 3)
    found = dko.metrics.baseline_effects(VALUES, GENES)["low-rank co-expression"]
    centre = VALUES - VALUES.mean(axis=0)
    u, s, v = np.linalg.svd(centre, full_matrices=False)
    again = (u[:, :3] * s[:3]) @ v[:3]
    for row, gene in enumerate(GENES[:2]):
        for j in others(gene):
            r = np.corrcoef(again[:, gene], again[:, j])[0, 1]
            assert found[row, j] == pytest.approx(-r * VALUES[:, j].std())


def test_ridge_is_that_on_all_other_genes():
    presence = (VALUES > 0).astype(float)
    centred, target = presence - presence.mean(axis=0), VALUES - VALUES.mean(axis=0)
    for penalty in (0.5, 20.0):
        _, found = _baselines._ridge(centred, target, penalty, GENES)
        for j in range(12):
            kept = np.arange(12) != j
            fit = Ridge(penalty).fit(presence[:, kept], VALUES[:, j])
            expected = np.zeros(12)
            expected[kept] = fit.coef_
            np.testing.assert_allclose(found[:, j], expected[GENES], atol=1e-8)


def test_ridge_error_is_that_of_generalised_cross_validation():
    presence = (VALUES > 0).astype(float)
    error, _ = _baselines._ridge(presence - presence.mean(axis=0), VALUES - VALUES.mean(axis=0), 5.0, GENES)
    expected = 0.0
    for j in range(12):
        x = np.delete(presence - presence.mean(axis=0), j, axis=1)
        hat = x @ np.linalg.solve(x.T @ x + 5.0 * np.eye(11), x.T) + 1 / 150
        left = VALUES[:, j] - hat @ VALUES[:, j]
        expected += (left**2).mean() / (1 - np.trace(hat) / 150) ** 2
    assert error == pytest.approx(expected)


def test_ridge_without_any_presence_to_learn_from():
    np.testing.assert_array_equal(dko.metrics.baseline_effects(VALUES[:, :2] + 1, [0])["ridge on assemblage"], 0)


def test_ridge_takes_random_cells_of_many(monkeypatch):
    monkeypatch.setattr(_baselines, "_MAX_RIDGE_CELLS", 100)
    a, b, again = (_baselines.ridge(VALUES, GENES, np.random.default_rng(seed)) for seed in (1, 2, 1))
    assert not np.array_equal(a, b) and np.array_equal(a, again)
    rows = np.sort(np.random.default_rng(1).choice(150, 100, replace=False))
    np.testing.assert_array_equal(a, _baselines.ridge(VALUES[rows], GENES, np.random.default_rng(0)))


def test_permuted_cells_carry_only_noise():
    effects = dko.metrics.baseline_effects(VALUES, np.arange(11), rng=3)["permuted cells"]
    r = (-effects / np.maximum(VALUES.std(axis=0), 1e-9))[:, :11][~np.eye(11, dtype=bool)]
    assert np.abs(r).mean() < 2 / np.sqrt(150)
    assert not np.array_equal(effects, dko.metrics.baseline_effects(VALUES, np.arange(11), rng=4)["permuted cells"])
