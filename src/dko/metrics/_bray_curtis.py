"""Bray-Curtis dissimilarity of rows."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from .._compat import Matrix, dense
from .._core.verb import verb


@verb
def bray_curtis(a: Matrix, b: Matrix) -> np.ndarray:
    """Bray-Curtis dissimilarity of each row of `a` and the same row of `b`.

    Parameters
    ----------
    a, b
        Non-negative, shape (cells, genes), dense or sparse.

    Returns
    -------
    Sum |a - b| / sum (a + b) per row, float64, shape (cells,): 0 for equal rows, 1 for rows without a common gene; for
    profiles that sum to 1, half the L1 distance. NaN where both rows are empty.
    """
    # Sparse minus sparse stays sparse; anything else becomes dense.
    if sparse.issparse(a) and sparse.issparse(b):
        a, b = a.astype(np.float64, copy=False), b.astype(np.float64, copy=False)
    else:
        a, b = dense(a), dense(b)
    if a.shape != b.shape:
        raise ValueError(f"a and b must have the same shape, got {a.shape} and {b.shape}.")
    # Of matrices a sum is a column, of arrays a line.
    gap, total_a, total_b = (np.asarray(m.sum(axis=1)).ravel() for m in (abs(a - b), a, b))
    total = total_a + total_b
    return np.divide(gap, total, out=np.full(len(gap), np.nan), where=total > 0)
