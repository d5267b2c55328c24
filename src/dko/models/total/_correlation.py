"""What genes have in common as predictors of others, and how large a step their loss is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ._regression import Regression

_TINY = 1e-12


def correlation(cells: Regression) -> np.ndarray:
    """Return the correlations of the predictors, adjusted for depth as the slopes are (float16, genes x genes).

    0 for genes that hardly vary.
    """
    products = np.zeros(2 * cells.spread.shape, dtype=np.float32)
    mean, with_depth = (np.zeros(len(cells.spread)) for _ in range(2))
    weight = cells.cell_weight
    centred = cells.depth - weight @ cells.depth / weight.sum()
    for rows, predictors in cells.predictor_blocks():
        products += predictors.T @ (weight[rows, None].astype(np.float32) * predictors)
        mean += weight[rows] @ predictors
        with_depth += (weight * centred)[rows] @ predictors
    mean, with_depth = mean / weight.sum(), with_depth / weight.sum()
    products /= np.float32(weight.sum())
    products -= np.outer(mean, mean)
    products -= np.outer(with_depth, with_depth) / max(float(weight @ centred**2) / weight.sum(), _TINY)
    sd = np.sqrt(cells.spread)
    products /= sd[:, None]
    products /= sd
    np.clip(products, -1, 1, out=products)
    np.fill_diagonal(products, 1)
    return products.astype(np.float16)


def steps(cells: Regression) -> np.ndarray:
    """Return how many standard deviations of its predictor the loss of each gene is (float32, genes).

    The mean over cells is what is lost; 1 for genes that hardly vary, or that no cell has.
    """
    total = np.zeros(len(cells.spread))
    for rows, predictors in cells.predictor_blocks():
        total += cells.cell_weight[rows] @ predictors
    found = total / cells.cell_weight.sum() / np.sqrt(cells.spread)
    return np.where(found > 0, found, 1).astype(np.float32)
