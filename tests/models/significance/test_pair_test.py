from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import kstest

from dko.models.significance import associations, levels, pair_p_values


def test_of_permuted_genes_p_values_are_uniform_where_genes_meet(permuted, all_of):
    rng, often, seldom = np.random.default_rng(0), [], []
    for _ in range(40):
        counts = permuted(rng)
        cells, genes = levels(counts, all_of(counts)), rng.choice(counts.shape[1], 3, replace=False)
        found = pair_p_values(associations(cells, genes), cells, genes)
        expected = np.outer(cells.seen[genes], cells.seen) / counts.shape[0]
        assert found.dtype == np.float64 and (found[np.arange(3), genes] == 1).all()
        found[np.arange(3), genes] = np.nan
        often.append(found[(expected >= 5) & np.isfinite(found)])
        seldom.append(found[(expected < 1) & np.isfinite(found)])
    pooled, few = np.concatenate(often), np.concatenate(seldom)
    assert len(pooled) > 3_000 and len(few) > 100
    assert kstest(rng.choice(pooled, 1_000, replace=False), "uniform").pvalue > 0.01
    for rate in (0.001, 0.01, 0.05):
        assert abs((pooled < rate).mean() - rate) < 4 * np.sqrt(rate / len(pooled))
        assert (few < rate).mean() < rate + 3 * np.sqrt(rate / len(few))


def test_they_are_those_of_permutations(all_of):
    rng = np.random.default_rng(0)
    dense = rng.poisson(rng.lognormal(0, 1, 30) * rng.gamma(2, 0.5, (200, 30)))
    counts = sparse.csr_matrix(dense.astype(np.float32))
    cells, gene = levels(counts, all_of(counts)), np.array([7])
    z = associations(cells, gene)
    predictor, response = cells.predictors(slice(None))[:, 7], cells.responses(slice(None))
    dealt = np.stack([predictor[rng.permutation(200)] @ response for _ in range(4_000)])
    sums = (z * np.sqrt(cells.unevenness[gene] * (predictor @ predictor) * (response**2).sum(0) / cells.n_free))[0]
    above = (dealt >= sums).mean(0)
    expected = 2 * np.minimum(above, 1 - above)
    found = pair_p_values(z, cells, gene)[0]
    others = np.arange(30) != 7
    np.testing.assert_allclose(found[others], expected[others], atol=0.06)


def test_rare_genes_that_meet_once_are_no_discovery(all_of):
    rng = np.random.default_rng(0)
    dense = np.column_stack([rng.poisson(3, (600, 20)), np.zeros((600, 2))])
    dense[:10, 20], dense[9:19, 21] = 1, 1
    counts = sparse.csr_matrix(dense.astype(np.float32))
    cells, gene = levels(counts, all_of(counts)), np.array([20])
    z = associations(cells, gene)
    assert z[0, 21] > 1.5 and pair_p_values(z, cells, gene)[0, 21] > 0.2
    dense[:10, 21] = 1
    counts = sparse.csr_matrix(dense.astype(np.float32))
    cells = levels(counts, all_of(counts))
    assert pair_p_values(associations(cells, gene), cells, gene)[0, 21] < 1e-5


@pytest.mark.parametrize("sign", [1, -1])
def test_both_directions_count(all_of, sign):
    rng = np.random.default_rng(0)
    first = rng.poisson(5, 300)
    dense = np.column_stack([first, rng.poisson(np.clip(5 + sign * (first - 5), 0, None)), rng.poisson(5, (300, 10))])
    counts = sparse.csr_matrix(dense.astype(np.float32))
    cells, gene = levels(counts, all_of(counts)), np.array([0])
    z = associations(cells, gene)
    assert np.sign(z[0, 1]) == sign and pair_p_values(z, cells, gene)[0, 1] < 1e-6
