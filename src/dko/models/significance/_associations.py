"""How strongly genes go with each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ._levels import Levels

# Of the variance without regard to depth, at least this is left.
_LEAST_UNEVEN = 0.25


def associations(levels: Levels, genes: np.ndarray | None = None) -> np.ndarray:
    """Return z-scores of genes (rows; all by default) with every gene, float32 (genes, genes); 0 with themselves.

    The sum over cells of predictor x response, over its standard deviation when nothing depends on anything but depth,
    with what depth does to the variances of both.
    """
    rows = np.arange(levels.shape[1]) if genes is None else genes
    products = np.zeros((len(rows), levels.shape[1]), dtype=np.float32)
    for cells in levels.blocks():
        predictors = levels.predictors(cells)
        products += (predictors if genes is None else predictors[:, rows]).T @ levels.responses(cells)
    products += levels.own_shift[rows]
    products /= scales(levels, levels.n_free, rows) * np.sqrt(np.maximum(levels.unevenness[rows], _LEAST_UNEVEN))
    return _of_others(products, levels, rows)


def dealt_associations(levels: Levels, order: np.ndarray) -> np.ndarray:
    """Return the same with the predictors of other cells, when nothing depends on anything."""
    products = np.zeros((levels.shape[1],) * 2, dtype=np.float32)
    for cells in levels.blocks():
        products += levels.predictors(order[cells]).T @ levels.responses(cells)
    rows = np.arange(levels.shape[1])
    products /= scales(levels, levels.shape[0] - 1, rows)
    return _of_others(products, levels, rows)


def scales(levels: Levels, n_free: int, rows: np.ndarray) -> np.ndarray:
    """Return the standard deviation of sums of predictor x response (genes, genes)."""
    one, other = (np.sqrt(levels.moments[side]) for side in ("predictor2", "response2"))
    return (np.outer(one[rows], other) / np.sqrt(max(n_free, 1)) + np.finfo(np.float32).tiny).astype(np.float32)


def _of_others(z: np.ndarray, levels: Levels, rows: np.ndarray) -> np.ndarray:
    z[:, ~levels.varies] = 0
    z[~levels.varies[rows]] = 0
    z[np.arange(len(rows)), rows] = 0
    return z
