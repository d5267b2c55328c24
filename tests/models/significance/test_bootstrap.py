from __future__ import annotations

import numpy as np
from scipy import sparse

import dko
from dko.models.significance import bootstrap_means


def test_intervals_are_those_of_means_of_drawn_cells():
    rng = np.random.default_rng(0)
    dense = rng.normal(2, 1, (200, 6)) * (rng.random((200, 6)) < 0.4)
    dense[:, 5] = 0
    low, high = bootstrap_means(sparse.csr_matrix(dense), 2_000, np.random.default_rng(1))
    for gene in range(5):
        known = dense[dense[:, gene] != 0, gene]
        expected = known.mean() + np.array([-1.96, 1.96]) * known.std() / np.sqrt(len(known))
        np.testing.assert_allclose([low[gene], high[gene]], expected, atol=0.05)
    assert np.isnan(low[5]) and np.isnan(high[5])


def test_blocks_of_draws_cover_what_one_block_does():
    values = sparse.random(50, 8, density=0.5, format="csr", rng=np.random.default_rng(0))
    with dko.settings.override(memory_budget=20_000):
        blocks = bootstrap_means(values, 100, np.random.default_rng(1))
    np.testing.assert_allclose(blocks, bootstrap_means(values, 100, np.random.default_rng(1)), rtol=1e-5)


def test_without_cells_nothing_is_known():
    low, high = bootstrap_means(sparse.csr_matrix((0, 3)), 10, np.random.default_rng(0))
    assert np.isnan(low).all() and high.shape == (3,)


def test_a_gene_that_is_drawn_in_no_cell_now_and_then_still_has_an_interval():
    values = sparse.csr_matrix(np.eye(5)[:, :1] * 3)
    low, high = bootstrap_means(values, 200, np.random.default_rng(0))
    assert low[0] == high[0] == 3
