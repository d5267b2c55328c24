"""Weights of zeros, the sides of the regressions, and their slopes, by the formulas in double precision."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import nbinom

from dko.models.dko.regression import _regulated, _sampled, in_memory, regression

from .counts import fitted_slopes, independent_counts, prepared, relative


def zeros_of(counts):
    """Weights of zeros, the part of it that sampling explains, and how far presence is regulated, of counts."""
    profiles, totals = relative(counts)
    seen, sampled = (np.asarray(counts) > 0).sum(0), profiles.toarray().astype(float) * np.median(totals)
    by_chance = _sampled(seen, len(counts), sampled.sum(0), np.square(sampled).sum(0))
    return prepared(counts).zeros, by_chance, _regulated(in_memory(profiles, totals), seen, len(counts))


def test_as_many_are_due_to_sampling_as_a_negative_binomial_explains(counts):
    weight, found, regulated = zeros_of(counts)
    profiles, totals = relative(counts)
    sampled = profiles.toarray().astype(float) * np.median(totals)
    for gene, values in enumerate(sampled.T):
        n_zeros, expected = (values == 0).sum(), 1.0
        for _ in range(10):
            among = np.where(values > 0, 1, expected)
            mean = np.average(values, weights=among)
            beyond = max(np.average(values**2, weights=among) - mean**2 - mean, 1e-3 * mean)
            by_chance = nbinom.pmf(0, mean**2 / beyond, mean / (mean + beyond)) * among.sum()
            expected = min(1, (by_chance + 1) / (n_zeros + 1))
        assert found[gene] == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(weight, found + (1 - found) * regulated)


def test_few_zeros_say_little_and_genes_that_no_cell_has_nothing():
    counts = np.random.default_rng(0).poisson(50, (200, 5))
    counts[:1, 1], counts[:19, 2], counts[:, 4] = 0, 0, 0
    # By chance none of these zeros would be there; one more is taken for granted.
    np.testing.assert_allclose(zeros_of(counts)[1], [1, 1 / 2, 1 / 20, 1, 0], rtol=1e-6)


@pytest.mark.parametrize("n_varying", [0, 2])
def test_with_fewer_than_three_genes_that_some_cells_lack_nothing_is_regulated(n_varying):
    counts = np.full((20, 6), 3)
    counts[::2, :n_varying] = 0
    assert zeros_of(counts)[2] == 0


def test_equals_the_formulas_in_double_precision(counts):
    profiles, totals = relative(counts)
    found = prepared(counts)
    sides = found.sides(profiles, totals)

    def dense(entries):
        return sparse.csr_matrix((entries, profiles.indices, profiles.indptr), profiles.shape).toarray()

    predictors = (dense(sides.value) - found.centre) / found.spread
    residuals = dense(sides.residual) + sides.depth[:, None] * sides.absent
    gains = dense(sides.gain)
    np.testing.assert_allclose(sides.left, residuals.sum(0), atol=1e-5)
    np.testing.assert_allclose(sides.sums, sides.depth @ dense(sides.value), rtol=1e-5)
    shares, depth, there = profiles.toarray().astype(float), totals / totals.mean(), counts > 0
    for gene, w in enumerate(found.zeros):
        share, has = shares[:, gene], there[:, gene]
        logs = np.log1p(1e4 * share)
        assert found.level[gene] == pytest.approx(logs[has].mean(), rel=1e-6)
        x = np.where(has, (1 + w) / 2 * logs / found.level[gene] + (1 - w) / 2, 0)
        x -= np.average(x, weights=depth)
        assert found.spread[gene] == pytest.approx(np.sqrt(np.average(x**2, weights=depth)), rel=1e-5)
        np.testing.assert_allclose(predictors[:, gene], x / found.spread[gene], atol=1e-4)
        weight = depth * np.where(has, 1, w)
        assert found.weight[gene] == pytest.approx(weight.sum(), rel=1e-6)
        ratio = share / np.average(share, weights=weight)
        y = w * (ratio - 1) + (1 - w) * np.log(ratio, where=has, out=np.zeros(80))
        y[~has] = -1
        expected = weight * (y - np.average(y, weights=weight))
        np.testing.assert_allclose(residuals[:, gene], expected, atol=1e-4)
        np.testing.assert_allclose(gains[:, gene], depth * has * (w * ratio + 1 - w), rtol=1e-4)
        growth = share / np.maximum(1 - share, 0.5)
        np.testing.assert_allclose(
            dense(sides.own)[:, gene], growth * predictors[:, gene] * found.spread[gene], atol=1e-5
        )


@pytest.mark.parametrize(("variation", "varies"), [(0.9e-4, False), (1.1e-4, True)])
def test_a_predictor_that_hardly_varies_has_no_slopes(variation, varies):
    # Levels of the first gene, which all cells have, with this squared coefficient of variation.
    levels = 5 * (1 + np.sqrt(variation) * np.where(np.arange(40) % 2, 1, -1))
    share, other = np.expm1(levels) / 1e4, np.linspace(0.3, 0.6, 40)
    profiles, totals = relative(np.column_stack([share, other, 1 - share - other]))
    assert np.isfinite(regression(in_memory(profiles, totals), counts=False).spread[0]) == varies


@pytest.fixture
def counts():
    rng = np.random.default_rng(0)
    counts = independent_counts(80, 12, rng, depth=60, depth_spread=0.4)
    counts[:, 1] = rng.poisson(counts[:, 0])
    counts[rng.random(80) < 0.4, 5] = 0
    counts[:, 3] += 1
    return counts


def naive(counts, gene, response):
    """Slope, standard error and z of one gene on another by the normal equations, in double precision."""
    profiles, totals = relative(counts)
    zeros = prepared(counts).zeros
    shares, depth = profiles.toarray().astype(float), totals / totals.mean()
    x = predictor(shares[:, gene], zeros[gene])
    x = (x - np.average(x, weights=depth)) / np.sqrt(
        np.average(x**2, weights=depth) - np.average(x, weights=depth) ** 2
    )
    there, w = shares[:, response] > 0, zeros[response]
    weight = depth * np.where(there, 1, w)
    ratio = shares[:, response] / np.average(shares[:, response], weights=weight)
    y = np.where(there, w * (ratio - 1) + (1 - w) * np.log(ratio, where=there, out=np.zeros(len(x))), -1)
    residual = weight * (y - np.average(y, weights=weight))
    # Among the other genes a share is 1 / (1 - p_g) times as large; to first order where it is a logarithm.
    gain = shares[:, gene] / (1 - shares[:, gene]) * depth * there * (w * ratio + 1 - w)
    slope, error = x @ (residual + gain) / weight.sum(), np.sqrt(np.square(residual).sum()) / weight.sum()
    return slope, error, slope / error, x, depth


def predictor(share, zeros):
    level = np.log1p(1e4 * share)
    return np.where(share > 0, (1 + zeros) / 2 * level / level[share > 0].mean() + (1 - zeros) / 2, 0)


@pytest.mark.parametrize("dense", [1e-9, 1e9])
def test_equal_the_normal_equations_pair_by_pair(counts, monkeypatch, dense):
    monkeypatch.setattr("dko.models.dko.regression._DENSE", dense)
    found = fitted_slopes(counts)
    assert found.z.dtype == np.float32 and not found.z.diagonal().any()
    shares = counts / counts.sum(1, keepdims=True)
    for gene in range(12):
        for response in set(range(12)) - {gene}:
            slope, error, z, x, depth = naive(counts, gene, response)
            assert found.error[response] == pytest.approx(error, rel=1e-4)
            assert found.z[gene, response] == pytest.approx(z, rel=1e-3, abs=1e-4)
            if response == 3:
                # Always present: exactly the regression of the share among the genes other than the predictor.
                root, mean = np.sqrt(depth), np.average(shares[:, 3], weights=depth)
                target = root * shares[:, 3] / (1 - shares[:, gene]) / mean
                full = np.linalg.lstsq(root[:, None] * np.column_stack([np.ones(80), x]), target)[0][1]
                assert slope == pytest.approx(full, rel=1e-4)
    assert found.z[0, 1] > 4


def test_correlations_are_those_of_the_predictors(counts):
    profiles, totals = relative(counts)
    cells = prepared(counts)
    shares = profiles.toarray().astype(float)
    predictors = np.array([predictor(share, zeros) for share, zeros in zip(shares.T, cells.zeros, strict=True)])
    covariance = np.cov(predictors, aweights=totals)
    sd = np.sqrt(covariance.diagonal())
    found = fitted_slopes(counts).correlation
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, covariance / np.outer(sd, sd), atol=1e-4)


def test_genes_that_no_cell_has_change_nothing(counts):
    alone = fitted_slopes(counts)
    found = fitted_slopes(np.column_stack([counts, np.zeros((80, 5))]))
    np.testing.assert_allclose(found.z[:12, :12], alone.z, rtol=1e-4, atol=1e-4)
    assert not found.z[12:].any() and not found.z[:, 12:].any()
