"""How sure means over cells are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .base import like, pieces

if TYPE_CHECKING:
    from scipy import sparse


def bootstrap_means(
    values: sparse.csr_matrix, n_bootstraps: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return 95 % intervals of the mean of each gene over the cells that have it, by drawing cells; NaN if none has."""
    n_cells, n_genes = values.shape
    if not n_cells:
        return np.full(n_genes, np.nan), np.full(n_genes, np.nan)
    across, there = values.T.tocsr(), like(values, np.ones_like(values.data)).T.tocsr()
    means = np.empty((n_bootstraps, n_genes), dtype=np.float32)
    for rows in pieces(n_bootstraps, 16 * max(n_cells, n_genes)):
        even = np.full(n_cells, 1 / n_cells)
        weights = rng.multinomial(n_cells, even, size=rows.stop - rows.start).T.astype(np.float32)
        n_drawn, total = there @ weights, across @ weights
        # A gene that none of the drawn cells has says nothing.
        means[rows] = np.divide(total, n_drawn, out=np.full_like(total, np.nan), where=n_drawn > 0).T
    known = np.isfinite(means).any(0)
    low, high = np.full((2, n_genes), np.nan)
    quantile = np.quantile if np.isfinite(means[:, known]).all() else np.nanquantile
    low[known], high[known] = quantile(means[:, known], (0.025, 0.975), axis=0)
    return low, high
