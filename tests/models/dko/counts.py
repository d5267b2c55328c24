"""Counts, and the relative profiles and totals that the estimates take."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from dko.models.dko.regression import in_memory, regression, slopes


def relative(counts):
    """Relative profiles (CSR float32) and totals (cells,) of counts."""
    profiles = sparse.csr_matrix(np.asarray(counts, dtype=np.float32))
    totals = np.asarray(profiles.sum(axis=1, dtype=np.float64)).ravel()
    profiles.data /= np.repeat(totals, np.diff(profiles.indptr)).astype(np.float32)
    return profiles, totals


def prepared(counts, *, are_counts=True):
    """The regressions of all cells."""
    return regression(in_memory(*relative(counts)), counts=are_counts)


def fitted_slopes(counts):
    """The slopes of all cells."""
    return slopes(prepared(counts), in_memory(*relative(counts)))


def independent_counts(n_cells, n_genes, rng, *, depth=2_000, depth_spread=0.0):
    """Cells x genes in which no gene says anything of another, their depth apart."""
    level = rng.lognormal(0, 0.7, n_genes)
    depths = depth * rng.lognormal(0, depth_spread, (n_cells, 1))
    return rng.poisson(depths * level / level.sum() * rng.lognormal(0, 0.5, (n_cells, n_genes)))
