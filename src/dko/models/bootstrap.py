"""How sure means over cells are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._settings import settings

if TYPE_CHECKING:
    from scipy import sparse

_INTERVAL = (0.025, 0.975)


def bootstrap_means(
    values: sparse.csr_matrix, n_bootstraps: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return 95 % intervals of the mean of each gene over the cells that have it, by drawing cells; NaN if none has."""
    n_cells, n_genes = values.shape
    if not n_cells:
        return np.full(n_genes, np.nan), np.full(n_genes, np.nan)
    mask = values.copy()
    mask.data = np.ones_like(mask.data)
    across, there = values.T.tocsr(), mask.T.tocsr()
    means = np.empty((n_bootstraps, n_genes), dtype=np.float32)
    step = max(1, settings.memory_budget // (16 * max(n_cells, n_genes)))
    for first in range(0, n_bootstraps, step):
        rows = slice(first, min(first + step, n_bootstraps))
        weights = rng.multinomial(n_cells, np.full(n_cells, 1 / n_cells), size=rows.stop - first).T.astype(np.float32)
        n_drawn, total = there @ weights, across @ weights
        # A gene that none of the drawn cells has says nothing.
        means[rows] = np.divide(total, n_drawn, out=np.full_like(total, np.nan), where=n_drawn > 0).T
    return _ends(means)


def _ends(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known = np.isfinite(draws).any(0)
    low, high = np.full((2, draws.shape[1]), np.nan)
    quantile = np.quantile if np.isfinite(draws[:, known]).all() else np.nanquantile
    low[known], high[known] = quantile(draws[:, known], _INTERVAL, axis=0)
    return low, high
