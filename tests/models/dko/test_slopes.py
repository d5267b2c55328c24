from __future__ import annotations

import numpy as np
import pytest

import dko
from dko.models.dko.regression import regression, slopes, without


@pytest.fixture
def counts(independent_counts):
    rng = np.random.default_rng(0)
    counts = independent_counts(80, 12, rng, depth=60, depth_spread=0.4)
    counts[:, 1] = rng.poisson(counts[:, 0])
    counts[rng.random(80) < 0.4, 5] = 0
    counts[:, 3] += 1
    return counts


@pytest.fixture
def naive(relative):
    """Slope, standard error and z of one gene on another by the normal equations, in double precision."""

    def of(counts, gene, response):
        profiles, totals = relative(counts)
        zeros = regression(profiles, totals, counts=True).zeros
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

    return of


def predictor(share, zeros):
    level = np.log1p(1e4 * share)
    return np.where(share > 0, (1 + zeros) / 2 * level / level[share > 0].mean() + (1 - zeros) / 2, 0)


def test_equal_the_normal_equations_pair_by_pair(relative, counts, naive):
    found = slopes(regression(*relative(counts), counts=True))
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


def test_correlations_are_those_of_the_predictors(relative, counts):
    profiles, totals = relative(counts)
    cells = regression(profiles, totals, counts=True)
    shares = profiles.toarray().astype(float)
    predictors = np.array([predictor(share, zeros) for share, zeros in zip(shares.T, cells.zeros, strict=True)])
    covariance = np.cov(predictors, aweights=totals)
    sd = np.sqrt(covariance.diagonal())
    found = slopes(cells).correlation
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, covariance / np.outer(sd, sd), atol=1e-4)


def test_a_gene_that_is_most_of_a_cell_is_taken_for_half(relative):
    shares = np.array([0, 0.2, 0.5, 0.9, 1], dtype=np.float32)
    np.testing.assert_allclose(without(shares), [0, 0.25, 1, 1.8, 2], rtol=1e-6)


def test_genes_that_no_cell_has_change_nothing(relative, counts):
    alone = slopes(regression(*relative(counts), counts=True))
    found = slopes(regression(*relative(np.column_stack([counts, np.zeros((80, 5))])), counts=True))
    np.testing.assert_allclose(found.z[:12, :12], alone.z, rtol=1e-4, atol=1e-4)
    assert not found.z[12:].any() and not found.z[:, 12:].any()


def test_order_and_memory_budget_change_nothing(relative, counts):
    rng = np.random.default_rng(0)
    cells, genes = rng.permutation(80), rng.permutation(12)
    expected = slopes(regression(*relative(counts), counts=True))
    with dko.settings.override(memory_budget=1):
        found = slopes(regression(*relative(counts[cells][:, genes]), counts=True))
    np.testing.assert_allclose(found.z, expected.z[np.ix_(genes, genes)], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found.correlation, expected.correlation[np.ix_(genes, genes)], atol=1e-5)
    np.testing.assert_allclose(found.error, expected.error[genes], rtol=1e-5)
