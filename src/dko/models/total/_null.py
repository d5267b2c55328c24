"""What knockouts would seem to do of genes that are associated with no other, and what that makes of those of others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import gamma

if TYPE_CHECKING:
    from ._regression import Regression

# Permuted genes, and permutations of the cells.
_DRAWS, _PERMUTATIONS = 512, 8
# Cells of about the same depth that values are permuted among.
_ALIKE = 25
# Draws, of genes that about as many cells have, that a gene is compared with.
_COMPARED = 128
# Genes that are worked on at a time.
_BLOCK = 256
_TINY = 1e-12


@dataclass(frozen=True)
class Null:
    """Regressions of all genes on permuted ones.

    Attributes
    ----------
    genes
        Which gene was permuted (draws,).
    changes
        What its knockout would seem to do, by one standard deviation of the gene: draws x genes.
    """

    genes: np.ndarray
    changes: np.ndarray


def permuted(regression: Regression, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Regress every gene on genes whose values are permuted among cells of about the same depth.

    Depth decides how noisy a cell is, and what only follows it is no effect. Genes are drawn evenly over the number of
    cells that have them: the noise of a gene of few cells is not normal.

    Returns
    -------
    Which genes were permuted (draws,); sums of products with the residuals, and correlations with the predictors, of
    all genes (draws x genes, float32).
    """
    n_genes = len(regression.weight)
    able = np.flatnonzero(np.isfinite(regression.spread))
    seen = np.bincount(regression.profiles.indices, minlength=n_genes)
    by_seen = able[np.argsort(seen[able], kind="stable")]
    genes = by_seen[np.arange(_DRAWS) * len(by_seen) // _DRAWS]
    products, together = (np.zeros((len(genes), n_genes), dtype=np.float32) for _ in range(2))
    orders = [_order(regression.depth, rng) for _ in range(_PERMUTATIONS)]
    for cells in regression.blocks():
        residuals = regression.residuals(cells)
        others = regression.weighted(regression.predictors(cells), cells)
        for first, order in enumerate(orders):
            values = regression.predictors(order[cells], genes[first::_PERMUTATIONS])
            products[first::_PERMUTATIONS] += values.T @ residuals
            together[first::_PERMUTATIONS] += values.T @ others
    return genes, products, together


def _order(depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return for each cell another one, at random among those of about the same depth."""
    by_depth = np.lexsort([rng.random(len(depth)), depth])
    stratum = np.arange(len(depth)) // _ALIKE
    order = np.empty(len(depth), dtype=int)
    order[by_depth] = by_depth[np.lexsort([rng.random(len(depth)), stratum])]
    return order


def p_values(
    influence: np.ndarray, step: np.ndarray, null: Null, seen: np.ndarray, profile: np.ndarray
) -> np.ndarray:
    """Return a p-value for each gene: that its knockout changes the other genes, beyond noise (float64, genes).

    The statistic is the downstream impact of the gene on a profile, to first order and by one standard deviation of
    the gene: half the sum over the other genes j of p_j |A_jg - mean| / s_g. It is compared with that of permuted
    genes that about as many cells have, by a gamma distribution of their mean and variance, so that p-values can be
    smaller than one over the number of draws. 1 for a gene that does not vary.

    Parameters
    ----------
    influence, step
        A, column g of gene g, and s, as in :class:`dko.models.knockout.FactorMap`.
    null
        That of the same fit.
    seen
        Number of cells that have each gene.
    profile
        Mean profile of the cells (genes,).
    """
    observed = np.empty(len(step))
    for first in range(0, len(step), _BLOCK):
        genes = np.arange(first, min(first + _BLOCK, len(step)))
        observed[genes] = impacts(influence[:, genes].T, genes, profile) / np.maximum(step[genes], _TINY)
    found = np.ones(len(step))
    if not len(null.genes):
        return found
    by_seen = np.argsort(seen[null.genes], kind="stable")
    by_chance = impacts(null.changes[by_seen].astype(np.float32), null.genes[by_seen], profile)
    at = np.searchsorted(seen[null.genes][by_seen], seen)
    n_compared = min(_COMPARED, len(by_chance))
    start = np.clip(at - n_compared // 2, 0, len(by_chance) - n_compared)
    windows = np.lib.stride_tricks.sliding_window_view(by_chance, n_compared)
    mean, variance = windows.mean(1)[start], windows.var(1)[start]
    known = (observed > 0) & (variance > _TINY * mean**2)
    found[known] = gamma.sf(observed[known], (mean**2 / variance)[known], scale=(variance / mean)[known])
    return found


def impacts(changes: np.ndarray, genes: np.ndarray, profile: np.ndarray) -> np.ndarray:
    """Return half the sum of p_j |a_j - mean a| over all genes but one, per row of changes; p sums to 1 without it."""
    weights = np.broadcast_to(profile, changes.shape).copy()
    weights[np.arange(len(genes)), genes] = 0
    weights /= np.maximum(weights.sum(1, keepdims=True), _TINY)
    centred = changes - (changes * weights).sum(1, keepdims=True)
    return 0.5 * (np.abs(centred) * weights).sum(1)
