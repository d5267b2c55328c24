"""The slope of every gene on every other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ._regression import Regression

_TINY = 1e-12


@dataclass(frozen=True)
class Slopes:
    """One regression per pair of genes.

    Attributes
    ----------
    z
        Slope over its standard error, float32, genes x genes: gene g (row) as the predictor of gene j (column); 0 on
        the diagonal.
    error
        Standard error of the slopes on one standard deviation of any gene (genes j,).
    correlation
        Weighted correlations between predictors, float32, genes x genes.
    """

    z: np.ndarray
    error: np.ndarray
    correlation: np.ndarray


def slopes(regression: Regression) -> Slopes:
    """Fit the regressions: matrix products, cells by cells.

    The variance of a slope is that of weighted residuals as they are (White 1980), taken as independent of the
    predictor, so that it is the same for all predictors of a gene. Shares sum to 1, so that where there is more of one
    gene there is less of all others: each response is the share among the genes other than the predictor.
    """
    n_genes = len(regression.weight)
    products, together = (np.zeros((n_genes, n_genes), dtype=np.float32) for _ in range(2))
    squares = np.zeros(n_genes)
    for cells in regression.blocks():
        shares = regression.shares(cells)
        predictors, (residuals, gains) = regression.predictors(shares), regression.residuals(cells, shares)
        products += predictors.T @ residuals
        products += (predictors * without(shares)).T @ gains
        together += predictors.T @ regression.weighted(predictors, cells)
        squares += np.square(residuals, dtype=np.float64).sum(0)
    noise = np.sqrt(np.maximum(squares, _TINY))
    products /= noise.astype(np.float32)
    np.fill_diagonal(products, 0)
    return Slopes(products, noise / regression.weight, together)


def without(shares: np.ndarray) -> np.ndarray:
    """Return by which part the other shares of a cell grow where a gene is left out; as if half, where it is all."""
    return shares / np.maximum(1 - shares, np.float32(0.5))
