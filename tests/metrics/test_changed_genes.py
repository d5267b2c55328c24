from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse, stats

import dko
from dko.metrics._changed_genes import rank_test


@pytest.mark.parametrize("sizes", [(40, 75), (75, 40), (5, 5)])
def test_p_values_equal_scipy(sizes):
    rng = np.random.default_rng(0)
    a, b = (rng.poisson(rng.gamma(0.5, 2, 60), (n, 60)).astype(float) for n in sizes)
    a[:, 0] = b[:, 0] = 0
    a[:, 1] = b[:, 1] = 3
    found = rank_test(sparse.csr_array(a), sparse.csr_array(b))
    expected = stats.mannwhitneyu(a, b, method="asymptotic").pvalue
    expected[:2] = 1  # constant genes; scipy has NaN or 1
    np.testing.assert_allclose(found, np.where(np.isnan(expected), 1, expected), atol=1e-12)


def test_finds_what_has_changed_and_not_the_lost_gene():
    rng = np.random.default_rng(1)
    before, after = rng.poisson(3.0, (200, 40)), rng.poisson(3.0, (150, 40))
    after[:, :10] = rng.poisson(1.0, (150, 10))
    after[:, 39] = 0
    found = dko.metrics.changed_genes(after, sparse.csr_matrix(before), without=[39])
    assert found[:10].all() and not found[39]


@pytest.mark.parametrize("sizes", [(60, 30), (30, 60), (100, 100)])
def test_permuted_cells_give_no_more_than_the_stated_rate(sizes):
    """Where nothing differs, every discovery is false: the rate is how often there is any."""
    rng = np.random.default_rng(2)
    found = []
    for _ in range(150):
        mean = 10 ** rng.uniform(-2, 1, 150)
        cells = sparse.csr_array(rng.poisson(mean * rng.lognormal(0, 0.5, (sum(sizes), 1))))
        found.append(dko.metrics.changed_genes(cells[: sizes[0]], cells[sizes[0] :]).any())
    assert stats.binomtest(int(np.sum(found)), len(found), 0.05, alternative="greater").pvalue > 0.01


def test_nothing_is_expressed():
    assert not dko.metrics.changed_genes(np.eye(4)[:2], np.eye(4)[2:], without=range(4)).any()
