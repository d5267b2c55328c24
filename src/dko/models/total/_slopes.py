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
        Slope over its standard error, float32, genes x genes: what gene g (row) does to gene j (column); 0 on the
        diagonal.
    error
        The standard error is ``error[0][:, None] * error[1]``.
    """

    z: np.ndarray
    error: tuple[np.ndarray, np.ndarray]


def slopes(regression: Regression, order: np.ndarray | None = None) -> Slopes:
    """Fit the regressions: one matrix product, cells by cells.

    The variance of a slope is that of weighted residuals as they are (White 1980), taken as independent of the
    predictor, so that it is a product of two vectors. `order` as in ``Regression.blocks``.
    """
    n_genes = len(regression.weight)
    products, squares = np.zeros((n_genes, n_genes), dtype=np.float32), np.zeros(n_genes)
    for predictors, residuals in regression.blocks(order):
        products += predictors.T @ residuals
        squares += np.square(residuals, dtype=np.float64).sum(0)
    sd, noise = np.sqrt(regression.spread), np.sqrt(np.maximum(squares, _TINY))
    products /= sd[:, None].astype(np.float32)
    products /= noise.astype(np.float32)
    np.fill_diagonal(products, 0)
    return Slopes(products, (1 / sd, noise / regression.weight))
