from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import kstest

import dko
from dko.models.statistics import bootstrap_means, levels_of, pair_test


def csr(dense):
    return sparse.csr_matrix(np.asarray(dense, dtype=np.float32))


def permuted(rng, n_cells=300, n_genes=100):
    """Counts, every gene permuted over the cells: one has a third of all counts, others are in few cells."""
    level = rng.lognormal(0, 1.5, n_genes)
    level[0] = level.sum() / 2
    depth = 100 * rng.lognormal(0, 0.4, (n_cells, 1))
    drawn = rng.permuted(rng.poisson(depth * level / level.sum() * rng.gamma(2, 0.5, (n_cells, n_genes))), axis=0)
    return csr(drawn[:, (drawn > 0).sum(0) >= 10])


def naive(counts, gene):
    """Residuals of a gene on the depth that the others give, and on that of all."""
    dense = counts.toarray().astype(float)
    of_all = (dense > 0).sum(1), dense.sum(1)
    without = of_all[0] - (dense[:, gene] > 0), of_all[1] - dense[:, gene]
    level, found = np.log1p(dense[:, gene]), []
    for depth in (without, of_all):
        n, total = (np.log(some) - np.log(every).mean() for some, every in zip(depth, of_all, strict=True))
        design = np.column_stack([np.ones(len(n)), n, n**2, total, total**2])
        found.append(level - design @ np.linalg.lstsq(design, level, rcond=None)[0])
    return found


def test_of_permuted_genes_p_values_are_uniform_where_genes_meet():
    rng, often, seldom = np.random.default_rng(0), [], []
    for _ in range(40):
        counts = permuted(rng)
        genes, seen = rng.choice(counts.shape[1], 3, replace=False), counts.getnnz(axis=0)
        found = pair_test(counts, genes, 1)[1]
        expected = np.outer(seen[genes], seen) / counts.shape[0]
        assert (found[np.arange(3), genes] == 1).all()
        found[np.arange(3), genes] = np.nan
        often.append(found[(expected >= 5) & np.isfinite(found)])
        seldom.append(found[(expected < 1) & np.isfinite(found)])
    pooled, few = np.concatenate(often), np.concatenate(seldom)
    assert len(pooled) > 3_000 and len(few) > 100
    assert kstest(rng.choice(pooled, 1_000, replace=False), "uniform").pvalue > 0.01
    for rate in (0.001, 0.01, 0.05):
        assert abs((pooled < rate).mean() - rate) < 4 * np.sqrt(rate / len(pooled))
        assert (few < rate).mean() < rate + 3 * np.sqrt(rate / len(few))


def test_p_values_are_those_of_permutations():
    rng = np.random.default_rng(0)
    counts = csr(rng.poisson(rng.lognormal(0, 1, 30) * rng.gamma(2, 0.5, (200, 30))))
    predictor = naive(counts, 7)[0]
    response = np.column_stack([naive(counts, gene)[1] for gene in range(30)])
    chance = np.stack([predictor[rng.permutation(200)] @ response for _ in range(4_000)])
    z, p_values = (one[0] for one in pair_test(counts, np.array([7]), 1))
    # z is over what depth does to the variances, too.
    uneven, depth = (levels := levels_of(counts, np.ones(30, dtype=bool))).uneven, levels.predictors.depth
    variance = 1 + uneven[7] @ np.cov(depth, rowvar=False, bias=True) @ uneven.T
    above = (chance >= z * np.sqrt(variance * (predictor @ predictor) * (response**2).sum(0) / 195)).mean(0)
    others = np.arange(30) != 7
    np.testing.assert_allclose(p_values[others], 2 * np.minimum(above, 1 - above)[others], atol=0.06)


def test_rare_genes_that_meet_once_are_no_discovery():
    rng = np.random.default_rng(0)
    dense = np.column_stack([rng.poisson(3, (600, 20)), np.zeros((600, 2))])
    dense[:10, 20], dense[9:19, 21] = 1, 1
    z, p_values = pair_test(csr(dense), np.array([20]), 1)
    assert z[0, 21] > 1.5 and p_values[0, 21] > 0.2
    dense[:10, 21] = 1
    assert pair_test(csr(dense), np.array([20]), 1)[1][0, 21] < 1e-5


@pytest.mark.parametrize("budget", [2**28, 5_000])
def test_depth_is_taken_off_without_the_gene_itself(budget):
    counts = permuted(np.random.default_rng(0), n_genes=40)
    with dko.settings.override(memory_budget=budget):
        found = levels_of(counts, np.ones(counts.shape[1], dtype=bool))
    for gene in (0, 3, 17):
        predictor, response = naive(counts, gene)
        np.testing.assert_allclose(found.predictors.of(slice(None))[:, gene], predictor, atol=2e-5)
        np.testing.assert_allclose(found.responses.of(slice(None))[:, gene], response, atol=2e-5)
        powers = [(predictor**exponent).sum() for exponent in (2, 3, 4)]
        np.testing.assert_allclose(found.of_predictors[1:, gene], powers, rtol=1e-3, atol=1e-3)


def test_genes_that_are_not_tested_count_for_the_depth():
    counts = permuted(np.random.default_rng(0), n_genes=40)
    more = csr(np.column_stack([counts.toarray(), np.ones(300), np.zeros(300), np.arange(300) < 5]))
    z, p_values = pair_test(more, np.array([2, 5]), 6)
    assert np.isnan(z[:, -3:]).all() and (p_values[:, -3:] == 1).all() and np.isnan(z[0, 2]) and np.isnan(z[1, 5])
    with dko.settings.override(memory_budget=20_000):
        np.testing.assert_allclose(pair_test(more, np.array([2, 5]), 6)[0], z, atol=1e-4)
    assert np.nanmax(np.abs(z[:, :-3] - pair_test(counts, np.array([2, 5]), 6)[0])) > 1e-3


def test_intervals_are_those_of_means_of_drawn_cells():
    rng = np.random.default_rng(0)
    dense = rng.normal(2, 1, (200, 6)) * (rng.random((200, 6)) < 0.4)
    dense[:, 5] = 0
    values = sparse.csr_matrix(dense)
    low, high = bootstrap_means(values, 2_000, np.random.default_rng(1))
    for gene in range(5):
        known = dense[dense[:, gene] != 0, gene]
        expected = known.mean() + np.array([-1.96, 1.96]) * known.std() / np.sqrt(len(known))
        np.testing.assert_allclose([low[gene], high[gene]], expected, atol=0.05)
    assert np.isnan(low[5]) and np.isnan(high[5])
    with dko.settings.override(memory_budget=200_000):
        np.testing.assert_allclose(bootstrap_means(values, 2_000, np.random.default_rng(1))[0], low, rtol=1e-5)


def test_intervals_of_no_cells_and_of_a_gene_that_some_draws_lack():
    low, high = bootstrap_means(sparse.csr_matrix((0, 3)), 10, np.random.default_rng(0))
    assert np.isnan(low).all() and high.shape == (3,)
    low, high = bootstrap_means(sparse.csr_matrix(np.eye(5)[:, :1] * 3), 200, np.random.default_rng(0))
    assert low[0] == high[0] == 3
