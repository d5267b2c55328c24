"""The two sides of the regressions: levels of genes as predictors, and shares of genes as responses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from ..._settings import settings
from ._zeros import weight_of_zeros

if TYPE_CHECKING:
    from collections.abc import Iterator

# Scale of log1p, and number of counts of a cell where they are unknown.
_SCALE = 1e4
# A predictor that varies by less of its second moment has nothing to say.
_CONSTANT = 1e-4
# Response where a gene is absent: that of a ratio of 0.
_ABSENT = -1.0
_TINY = 1e-12


@dataclass(frozen=True)
class Regression:
    """Weighted regressions of every gene's share on every other gene's level.

    Cell i has the weight of its depth. A zero of gene j counts as far as it says something about its level, w_j
    (:func:`weight_of_zeros`), so that a gene that is absent at random is not taken for one with a low level. The
    response is w_j (r - 1) + (1 - w_j) log r of the ratio r of the share of gene j to its mean, and -1 where the gene
    is absent: one step of a Poisson regression where zeros count, and a log ratio where they do not.
    The predictor is the log level of gene g over its mean where present, which is 1 on average there, and 0 elsewhere,
    and by the share (1 - w_g) / 2 just 1 and 0: that cells lack a gene is nearest to a knockout.

    Attributes
    ----------
    profiles
        Relative profiles, cells x genes.
    level
        Mean of log1p(1e4 p) where the gene is present (genes,).
    zeros
        Weight of the zeros of each gene, w (genes,).
    weight
        Sum of the weights of each response (genes,).
    spread
        Weighted standard deviation of each predictor (genes,); infinite for one that hardly varies, so that its slopes
        are 0.
    """

    profiles: sparse.csr_matrix
    level: np.ndarray
    zeros: np.ndarray
    weight: np.ndarray
    spread: np.ndarray
    _cell_weight: np.ndarray
    _predictors: sparse.csr_matrix
    _centre: np.ndarray
    _response: sparse.csr_matrix
    _mean: np.ndarray

    @property
    def depth(self) -> np.ndarray:
        """Weight of each cell, proportional to its depth."""
        return self._cell_weight

    def blocks(self) -> Iterator[slice]:
        """Yield slices of cells that fit into memory as dense blocks."""
        n_cells, n_genes = self.profiles.shape
        step = max(1, settings.memory_budget // (32 * n_genes))
        yield from (slice(first, min(first + step, n_cells)) for first in range(0, n_cells, step))

    def predictors(self, cells: slice | np.ndarray, genes: np.ndarray | None = None) -> np.ndarray:
        """Return standardised predictors of some cells and genes, dense, float32: mean 0 and variance 1."""
        chosen, genes = self._predictors[cells], slice(None) if genes is None else genes
        values = chosen[:, genes].toarray()
        values -= self._centre[genes].astype(np.float32)
        values /= self.spread[genes].astype(np.float32)
        return values

    def closure(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return what shares that sum to 1 do to the products, to be added as outer products, two vectors each.

        Where there is more of a predictor gene, there is less of all responses, and where there is more of a response
        gene, there is less of all predictors: neither is an effect. To first order in the share of the gene.
        """
        shares, weight = self.profiles, self._cell_weight
        of_predictors = weight @ shares.multiply(self._predictors) - self._centre * (weight @ shares)
        levels = shares.copy()
        levels.data = _SCALE * shares.data / (1 + _SCALE * shares.data) / self.level[shares.indices]
        slope = (weight @ levels) * (1 + self.zeros) / 2 / weight.sum()
        of_entry = np.repeat(weight, np.diff(shares.indptr))
        residual = shares.data * of_entry * (self._response.data - self._mean[shares.indices])
        of_responses = np.bincount(shares.indices, weights=residual, minlength=len(self.level))
        return of_predictors / weight.sum() / self.spread, self.weight, slope / self.spread, of_responses

    def weighted(self, predictors: np.ndarray, cells: slice) -> np.ndarray:
        """Return standardised predictors times the weights of their cells, which sum to 1."""
        return predictors * (self._cell_weight[cells, None] / self._cell_weight.sum()).astype(np.float32)

    def residuals(self, cells: slice) -> np.ndarray:
        """Return weight x (response - mean), dense, float32."""
        present = self._response[cells].toarray()
        absent = self.zeros * (_ABSENT - self._mean)
        residuals = np.where(self.profiles[cells].toarray() > 0, present - self._mean, absent)
        return (self._cell_weight[cells, None] * residuals).astype(np.float32)


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
    n_genes = profiles.shape[1]
    seen = np.bincount(profiles.indices, minlength=n_genes)
    logs = np.log1p(_SCALE * profiles.data)
    level = np.maximum(np.bincount(profiles.indices, weights=logs, minlength=n_genes) / np.maximum(seen, 1), _TINY)
    zeros = weight_of_zeros(profiles, seen, float(np.median(totals)) if counts else _SCALE)
    cell_weight = totals / totals.mean()
    of_entry = np.repeat(cell_weight, np.diff(profiles.indptr))

    def sums(present: np.ndarray | float, absent: float) -> np.ndarray:
        """Sum of a number per entry, and of `absent` times the weight of zeros elsewhere (genes,)."""
        there = np.bincount(profiles.indices, weights=of_entry, minlength=n_genes)
        known = np.bincount(profiles.indices, weights=of_entry * present, minlength=n_genes)
        return known + absent * zeros * (cell_weight.sum() - there)

    weight = np.maximum(sums(1, 1), _TINY)
    response = _responses(profiles, sums(profiles.data, 0) / weight, zeros)
    predictors = _predictors(profiles, logs / level[profiles.indices], zeros)
    centre = (cell_weight @ predictors) / cell_weight.sum()
    return Regression(
        profiles,
        level,
        zeros,
        weight,
        _spread(predictors, cell_weight, centre),
        cell_weight,
        predictors,
        centre,
        response,
        sums(response.data, _ABSENT) / weight,
    )


def _responses(profiles: sparse.csr_matrix, mean: np.ndarray, zeros: np.ndarray) -> sparse.csr_matrix:
    """Return the responses where genes are present, on the pattern of `profiles`."""
    ratio = profiles.data / np.maximum(mean, _TINY)[profiles.indices]
    linear = zeros[profiles.indices]
    values = (linear * (ratio - 1) + (1 - linear) * np.log(ratio)).astype(np.float32)
    return sparse.csr_matrix((values, profiles.indices, profiles.indptr), shape=profiles.shape)


def _predictors(profiles: sparse.csr_matrix, levels: np.ndarray, zeros: np.ndarray) -> sparse.csr_matrix:
    presence = ((1 - zeros) / 2)[profiles.indices]
    values = (levels + presence * (1 - levels)).astype(np.float32)
    return sparse.csr_matrix((values, profiles.indices, profiles.indptr), shape=profiles.shape)


def _spread(predictors: sparse.csr_matrix, weight: np.ndarray, centre: np.ndarray) -> np.ndarray:
    square = (weight @ predictors.power(2)) / weight.sum()
    variance = square - centre**2
    return np.sqrt(np.where(variance > _CONSTANT * (square + _TINY), variance, np.inf))
