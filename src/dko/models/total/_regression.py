"""The two sides of the regressions: levels of genes as predictors, and what is left of them as responses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from ..._settings import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

# Scale of log1p, and of values whose counts are unknown.
_SCALE = 1e4
# A predictor that varies by less of its second moment has nothing to say.
_CONSTANT = 1e-4
# Least relative variance beyond counting noise.
_DISPERSION = 1e-3
_TINY = 1e-12


@dataclass(frozen=True)
class Regression:
    """Weighted regressions of every gene's share on every other gene's level, with the depth of the cell beside it.

    The response is the share of gene j over its mean, p_ij / mu_j: one step of a Poisson regression. Cell i has the
    weight of its depth. An absent gene counts as far as sampling alone explains that it was not seen: with the chance
    that a negative binomial of its mean and variance gives 0, over the observed fraction of zeros. So a gene that cells
    lack altogether is not taken for one with a low level, and a gene that is seldom sampled is not cut off at 0.
    The predictor is the log level of gene g over its mean where present, which is 1 on average there, and 0 elsewhere.

    Attributes
    ----------
    level
        Mean of log1p(1e4 p) where the gene is present (genes,).
    weight
        Sum of the weights of each response (genes,).
    depth
        Log number of present genes of each cell (cells,).
    spread
        Weighted variance of each predictor, that which depth explains taken off (genes,); infinite for one that hardly
        varies, so that its slopes are 0.
    """

    profiles: sparse.csr_matrix
    level: np.ndarray
    weight: np.ndarray
    spread: np.ndarray
    depth: np.ndarray
    _cell_weight: np.ndarray
    _zero_weight: np.ndarray
    _mean: np.ndarray
    _centre: np.ndarray
    _slope: np.ndarray

    def blocks(self, order: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield predictors and weighted residuals of the responses, dense blocks of cells x genes, float32.

        With `order`, the predictors are those of other cells: what they would be if nothing depended on anything.
        """
        n_cells, n_genes = self.profiles.shape
        step = max(1, settings.memory_budget // (32 * n_genes))
        predictors = self._predictors()
        for first in range(0, n_cells, step):
            rows = slice(first, first + step)
            cells = rows if order is None else order[rows]
            yield predictors[cells].toarray(), self._residuals(rows)

    def _predictors(self) -> sparse.csr_matrix:
        values = self.profiles.copy()
        values.data = (np.log1p(_SCALE * values.data) / self.level[values.indices]).astype(np.float32)
        return values

    def _residuals(self, rows: slice) -> np.ndarray:
        """Return weight x (response - 1 - slope x depth): of an absent gene the response is 0."""
        block, weight = self.profiles[rows], self._cell_weight[rows, None]
        expected = 1 + (self.depth[rows, None] - self._centre) * self._slope
        present = block.toarray() / self._mean - expected
        absent = -expected * self._zero_weight
        return (weight * np.where(block.toarray() > 0, present, absent)).astype(np.float32)


def regression(profiles: sparse.csr_matrix, totals: np.ndarray, *, counts: bool) -> Regression:
    """Prepare the regressions.

    Parameters
    ----------
    profiles
        Relative profiles, cells x genes, no cell empty.
    totals
        Sum of the values of each cell: its weight.
    counts
        Whether these are counts; otherwise how many were sampled is taken to be 10,000.
    """
    n_cells, n_genes = profiles.shape
    present = np.diff(profiles.indptr)
    seen = np.bincount(profiles.indices, minlength=n_genes)
    logs = np.bincount(profiles.indices, weights=np.log1p(_SCALE * profiles.data), minlength=n_genes)
    level = np.maximum(logs / np.maximum(seen, 1), _TINY)
    cell_weight = totals / totals.mean()
    typical = float(np.median(totals)) if counts else _SCALE
    # A gene that no cell has says nothing, and nothing is said of it.
    zero_weight = np.where(seen > 0, _zero_weights(profiles, seen, typical), 0)
    depth = np.log(present)
    sums = _Sums(profiles, cell_weight, zero_weight)
    weight = np.maximum(sums.of(np.ones(n_cells)), _TINY)
    mean = np.maximum(sums.shares() / weight, _TINY)
    centre = sums.of(depth) / weight
    around = np.maximum(sums.of(depth**2) - centre**2 * weight, _TINY)
    slope = (sums.shares(depth) - centre * sums.shares()) / mean / around
    part = Regression(profiles, level, weight, np.empty(0), depth, cell_weight, zero_weight, mean, centre, slope)
    spread = _spread(part._predictors(), cell_weight, depth)
    return Regression(profiles, level, weight, spread, depth, cell_weight, zero_weight, mean, centre, slope)


@dataclass(frozen=True)
class _Sums:
    """Weighted sums over cells for every gene."""

    profiles: sparse.csr_matrix
    cell_weight: np.ndarray
    zero_weight: np.ndarray

    def of(self, values: np.ndarray) -> np.ndarray:
        """Sum of a number per cell (genes,): present genes count fully, absent ones with their weight."""
        weighted = self.cell_weight * values
        rows = np.repeat(weighted, np.diff(self.profiles.indptr))
        there = np.bincount(self.profiles.indices, weights=rows, minlength=self.profiles.shape[1])
        return there + self.zero_weight * (weighted.sum() - there)

    def shares(self, values: np.ndarray | None = None) -> np.ndarray:
        """Sum of the shares, or of their products with a number per cell (genes,)."""
        weighted = self.cell_weight if values is None else self.cell_weight * values
        rows = np.repeat(weighted, np.diff(self.profiles.indptr)) * self.profiles.data
        return np.bincount(self.profiles.indices, weights=rows, minlength=self.profiles.shape[1])


def _zero_weights(profiles: sparse.csr_matrix, seen: np.ndarray, typical: float) -> np.ndarray:
    """Return how likely it is that a gene which was not seen was only not sampled (genes,)."""
    n_cells, n_genes = profiles.shape
    counts = typical * profiles.data.astype(np.float64)
    mean = np.maximum(np.bincount(profiles.indices, weights=counts, minlength=n_genes) / n_cells, _TINY)
    square = np.bincount(profiles.indices, weights=counts**2, minlength=n_genes) / n_cells
    dispersion = np.maximum(square - mean**2 - mean, _DISPERSION * mean) / mean**2
    by_chance = np.exp(-np.log1p(dispersion * mean) / dispersion)
    return np.minimum(1, by_chance / np.maximum(1 - seen / n_cells, _TINY))


def _spread(predictors: sparse.csr_matrix, weight: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Return the weighted variance of each predictor around its regression on depth (genes,)."""
    total = weight.sum()
    centred = depth - weight @ depth / total
    mean = (weight @ predictors) / total
    variance = (weight @ predictors.power(2)) / total - mean**2
    with_depth = ((weight * centred) @ predictors) / total
    explained = with_depth**2 / max(float(weight @ centred**2) / total, _TINY)
    left = variance - explained
    return np.where(left > _CONSTANT * (variance + mean**2), left, np.inf)
