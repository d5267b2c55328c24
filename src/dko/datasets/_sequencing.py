"""Counts of cells whose expected ones are known, with values lost to dropout as in SERGIO."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.special import expit

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SLOPE = 6.5  # Of the logistic curve, as in the examples of SERGIO.


def dropout_midpoint(expected: NDArray[np.float64], percentile: float) -> float:
    """Return the log(1 + expected count) at which half of the values are lost."""
    return float(np.percentile(np.log1p(expected), percentile))


def draw_counts(expected: NDArray[np.float64], midpoint: float | None, rng: np.random.Generator) -> sparse.csr_matrix:
    """Draw Poisson counts, cells x genes, CSR, float32, of the values that are not lost.

    A cell without any count gets one of its gene of the highest expected count.
    """
    counts = rng.poisson(expected)
    if midpoint is not None:
        counts *= rng.random(expected.shape) < expit(_SLOPE * (np.log1p(expected) - midpoint))
    empty = np.flatnonzero(counts.sum(axis=1) == 0)
    counts[empty, expected[empty].argmax(axis=1)] = 1
    return sparse.csr_matrix(counts.astype(np.float32))
