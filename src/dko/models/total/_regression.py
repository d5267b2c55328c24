"""The two sides of the regressions: levels of genes as predictors, and what is left of them as responses."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
# Least relative variance beyond counting noise, and how often it and the zeros that it explains are told anew.
_DISPERSION, _ROUNDS = 1e-3, 10
# Response where a gene is absent: that of a ratio of 0.
_ABSENT = -1.0
_TINY = 1e-12


@dataclass(frozen=True)
class Regression:
    """Weighted regressions of every gene's share on every other gene's level, with the depth of the cell beside it.

    An absent gene counts as far as sampling alone explains that it was not seen, w_j: the zeros that a negative
    binomial gives in the cells that have it, over those observed (such weights are those of Van den Berge et al. 2018).
    So a gene that cells lack altogether is not taken for one with a low level, and a gene that is seldom sampled is not
    cut off at 0. Cell i has the weight of its depth.
    The response is w_j (r - 1) + (1 - w_j) log r of the ratio r of the share of gene j to its mean, and -1 where the
    gene is absent: one step of a Poisson regression where counts are few, and a log ratio, which is less noisy, where
    cells that have a gene have many counts of it.
    The predictor is the log level of gene g over its mean where present, which is 1 on average there, and 0 elsewhere,
    and by the share (1 - w_g) / 2 just 1 and 0: that cells lack a gene is nearest to a knockout.

    Attributes
    ----------
    level
        Mean of log1p(1e4 p) where the gene is present (genes,).
    sampled
        Weight of each gene where it is absent, w: near 1 where its zeros are counts that were not drawn, and 1 where
        it has none; near 0 where cells lack it, and 0 where no cell has it (genes,).
    weight
        Sum of the weights of each response (genes,).
    depth
        Log number of present genes of each cell (cells,).
    spread
        Weighted variance of each predictor, that which depth explains taken off (genes,); infinite for one that hardly
        varies, so that its slopes are 0.
    cell_weight
        Weight of each cell, 1 on average (cells,).
    """

    profiles: sparse.csr_matrix
    level: np.ndarray
    sampled: np.ndarray
    weight: np.ndarray
    spread: np.ndarray
    depth: np.ndarray
    cell_weight: np.ndarray
    _response: sparse.csr_matrix
    _mean: np.ndarray
    _centre: np.ndarray
    _slope: np.ndarray

    def blocks(self, order: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield predictors and weighted residuals of the responses, dense blocks of cells x genes, float32.

        With `order`, the predictors are those of other cells: what they would be if nothing depended on anything.
        """
        for rows, predictors in self.predictor_blocks(order):
            yield predictors, self._residuals(rows)

    def predictor_blocks(self, order: np.ndarray | None = None) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield the rows of some cells, and predictors, dense, float32."""
        n_cells, n_genes = self.profiles.shape
        step = max(1, settings.memory_budget // (32 * n_genes))
        predictors = self._predictors()
        for first in range(0, n_cells, step):
            rows = slice(first, first + step)
            yield rows, predictors[rows if order is None else order[rows]].toarray()

    def _predictors(self) -> sparse.csr_matrix:
        values, presence = self.profiles.copy(), (1 - self.sampled) / 2
        levels = np.log1p(_SCALE * values.data) / self.level[values.indices]
        values.data = (levels + presence[values.indices] * (1 - levels)).astype(np.float32)
        return values

    def _residuals(self, rows: slice) -> np.ndarray:
        """Return weight x (response - mean - slope x depth)."""
        expected = self._mean + (self.depth[rows, None] - self._centre) * self._slope
        present = self._response[rows].toarray() - expected
        absent = self.sampled * (_ABSENT - expected)
        residuals = np.where(self.profiles[rows].toarray() > 0, present, absent)
        return (self.cell_weight[rows, None] * residuals).astype(np.float32)


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
    sampled = np.where(seen > 0, _sampled(profiles, seen, typical), 0)
    depth = np.log(present)
    sums = _Sums(profiles, cell_weight, sampled)
    weight = np.maximum(sums.of(1, 1), _TINY)
    response = _responses(profiles, sums.of(profiles.data, 0) / weight, sampled)
    mean = sums.of(response.data, _ABSENT) / weight
    centre = sums.of(1, 1, depth) / weight
    around = np.maximum(sums.of(1, 1, depth**2) - centre**2 * weight, _TINY)
    slope = (sums.of(response.data, _ABSENT, depth) - centre * mean * weight) / around
    part = Regression(profiles, level, sampled, weight, np.empty(0), depth, cell_weight, response, mean, centre, slope)
    return replace(part, spread=_spread(part._predictors(), cell_weight, depth))


@dataclass(frozen=True)
class _Sums:
    """Weighted sums over cells for every gene: present genes count fully, absent ones with their weight."""

    profiles: sparse.csr_matrix
    cell_weight: np.ndarray
    sampled: np.ndarray

    def of(self, present: np.ndarray | float, absent: float, values: np.ndarray | float = 1.0) -> np.ndarray:
        """Sum of a number per entry, `absent` where a gene is, times one of `values` per cell (genes,)."""
        weighted = self.cell_weight * values
        rows = np.repeat(weighted, np.diff(self.profiles.indptr))
        there, known = (
            np.bincount(self.profiles.indices, weights=rows * factor, minlength=self.profiles.shape[1])
            for factor in (1, present)
        )
        return known + absent * self.sampled * (weighted.sum() - there)


def _responses(profiles: sparse.csr_matrix, mean: np.ndarray, sampled: np.ndarray) -> sparse.csr_matrix:
    """Return the responses where genes are present, on the pattern of `profiles`."""
    ratio = profiles.data / np.maximum(mean, _TINY)[profiles.indices]
    linear = sampled[profiles.indices]
    values = (linear * (ratio - 1) + (1 - linear) * np.log(ratio)).astype(np.float32)
    return sparse.csr_matrix((values, profiles.indices, profiles.indptr), shape=profiles.shape)


def _sampled(profiles: sparse.csr_matrix, seen: np.ndarray, typical: float) -> np.ndarray:
    """Return how likely it is that a gene which was not seen was only not sampled (genes,).

    Mean and variance are those of the cells that have the gene, seen there or not, so both are told in turns (much as
    EM fits a zero-inflated negative binomial, with moments). One zero that was only not drawn is added to those seen:
    few zeros say little, and where there are none the weight is 1.
    """
    n_cells, n_genes = profiles.shape
    counts = typical * profiles.data.astype(np.float64)
    total, square = (np.bincount(profiles.indices, weights=counts**power, minlength=n_genes) for power in (1, 2))
    zeros, found = n_cells - seen, np.ones(n_genes)
    for _ in range(_ROUNDS):
        having = np.maximum(seen + found * zeros, _TINY)
        mean = np.maximum(total / having, _TINY)
        dispersion = np.maximum(square / having - mean**2 - mean, _DISPERSION * mean) / mean**2
        by_chance = np.exp(-np.log1p(dispersion * mean) / dispersion)
        found = np.minimum(1, (by_chance * having + 1) / (zeros + 1))
    return found


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
