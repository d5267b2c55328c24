"""What a cell has of its own, beyond what its assemblage predicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy import sparse

_LEAST = 1e-4
_TINY = 1e-12


def deviation(counts: sparse.csr_matrix, predicted: np.ndarray) -> float:
    """Return the squared coefficient of variation of levels around their prediction, counting noise taken off.

    Parameters
    ----------
    counts
        Cells x genes.
    predicted
        Predicted profiles, one number per entry of `counts`.
    """
    expected = np.maximum(predicted * _totals(counts), _TINY)
    ratio = counts.data / expected
    return max(float(np.average((ratio - 1) ** 2 - 1 / expected, weights=expected)), _LEAST)


def residual(counts: sparse.csr_matrix, predicted: np.ndarray, variation: float) -> np.ndarray:
    """Return what predicted profiles have to be multiplied by, one number per entry of `counts` (float32).

    The mean of the level given the count, where levels follow a gamma distribution of squared coefficient of variation
    `variation` around the prediction and counts are Poisson: few counts say little.
    """
    shape = 1 / variation
    expected = predicted.astype(np.float64) * _totals(counts)
    return ((counts.data + shape) / (expected + shape)).astype(np.float32)


def _totals(counts: sparse.csr_matrix) -> np.ndarray:
    """Return the sum of each cell at each of its entries."""
    totals = np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()
    return np.repeat(totals, np.diff(counts.indptr))
