"""The two sides of the regressions: levels of genes as predictors, and shares of genes as responses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..._settings import settings
from ._zeros import weight_of_zeros

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scipy import sparse

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
    depth
        Weight of each cell, its depth over the mean (cells,).
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
    depth: np.ndarray
    level: np.ndarray
    zeros: np.ndarray
    weight: np.ndarray
    spread: np.ndarray
    _centre: np.ndarray
    _mean_share: np.ndarray
    _mean: np.ndarray

    def blocks(self) -> Iterator[slice]:
        """Yield slices of cells that fit into memory as dense blocks."""
        n_cells, n_genes = self.profiles.shape
        step = max(1, settings.memory_budget // (64 * n_genes))
        yield from (slice(first, min(first + step, n_cells)) for first in range(0, n_cells, step))

    def shares(self, cells: slice) -> np.ndarray:
        """Return the profiles of a block of cells, dense."""
        return self.profiles[cells].toarray()

    def predictors(self, shares: np.ndarray, genes: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return standardised predictors, of mean 0 and variance 1, float32, from the shares of some genes."""
        values = np.log1p(np.float32(_SCALE) * shares)
        values *= ((1 + self.zeros[genes]) / 2 / self.level[genes]).astype(np.float32)
        values += np.where(shares > 0, ((1 - self.zeros[genes]) / 2).astype(np.float32), np.float32(0))
        values -= self._centre[genes].astype(np.float32)
        values /= self.spread[genes].astype(np.float32)
        return values

    def weighted(self, predictors: np.ndarray, cells: slice) -> np.ndarray:
        """Return predictors times the weights of their cells, which sum to 1."""
        return predictors * (self.depth[cells, None] / self.depth.sum()).astype(np.float32)

    def residuals(self, cells: slice, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return weight x (response - mean), and by how much it rises with the log of the share; dense, float32."""
        present = shares > 0
        ratio = shares / self._mean_share.astype(np.float32)
        zeros, weight = self.zeros.astype(np.float32), self.depth[cells, None].astype(np.float32)
        with np.errstate(divide="ignore", invalid="ignore"):
            response = np.where(present, zeros * (ratio - 1) + (1 - zeros) * np.log(ratio), np.float32(_ABSENT))
        residuals = weight * np.where(present, 1, zeros) * (response - self._mean.astype(np.float32))
        return residuals, weight * np.where(present, zeros * ratio + (1 - zeros), 0)


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
    n_genes, indices = profiles.shape[1], profiles.indices
    depth = totals / totals.mean()
    of_entry = np.repeat(depth, np.diff(profiles.indptr))

    def sums(values: np.ndarray | float) -> np.ndarray:
        """Sum of a number per entry, over cells with their weights (genes,)."""
        return np.bincount(indices, weights=of_entry * values, minlength=n_genes)

    seen, there = np.bincount(indices, minlength=n_genes), sums(1.0)
    logs = np.log1p(_SCALE * profiles.data)
    level = np.maximum(np.bincount(indices, weights=logs, minlength=n_genes) / np.maximum(seen, 1), _TINY)
    zeros = weight_of_zeros(profiles, seen, float(np.median(totals)) if counts else _SCALE)
    absent = zeros * (depth.sum() - there)
    weight = np.maximum(there + absent, _TINY)
    mean_share = np.maximum(sums(profiles.data) / weight, _TINY)
    ratio, linear = profiles.data / mean_share[indices], zeros[indices]
    response = linear * (ratio - 1) + (1 - linear) * np.log(ratio)
    predictor = (1 + linear) / 2 * logs / level[indices] + (1 - linear) / 2
    centre, square = (sums(predictor**power) / depth.sum() for power in (1, 2))
    varies = square - centre**2 > _CONSTANT * (square + _TINY)
    spread = np.where(varies, np.sqrt(np.maximum(square - centre**2, _TINY)), np.inf)
    mean = (sums(response) + _ABSENT * absent) / weight
    return Regression(profiles, depth, level, zeros, weight, spread, centre, mean_share, mean)
