"""Counts in which no gene goes with another."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse


@pytest.fixture(scope="session")
def permuted():
    """Cells x genes, CSR float32, every gene permuted: one has a third of all counts, others are in few cells."""

    def counts(rng, n_cells=300, n_genes=100):
        level = rng.lognormal(0, 1.5, n_genes)
        level[0] = level.sum() / 2
        depth = 100 * rng.lognormal(0, 0.4, (n_cells, 1))
        drawn = rng.poisson(depth * level / level.sum() * rng.gamma(2, 0.5, (n_cells, n_genes)))
        drawn = rng.permuted(drawn, axis=0)
        return sparse.csr_matrix(drawn[:, (drawn > 0).sum(0) >= 10].astype(np.float32))

    return counts


@pytest.fixture(scope="session")
def all_of():
    """Mask of all genes."""
    return lambda counts: np.ones(counts.shape[1], dtype=bool)
