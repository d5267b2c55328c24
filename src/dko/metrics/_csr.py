"""Profiles as lists of their entries, so that nothing grows to cells x genes."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from .._compat import Matrix


def csr(matrix: Matrix) -> sparse.csr_array:
    """Return a CSR copy in float64 whose indices are sorted and unique."""
    copy = sparse.csr_array(matrix, dtype=np.float64, copy=True)
    copy.sum_duplicates()
    return copy


def rows_of(matrix: sparse.csr_array) -> np.ndarray:
    """Return the row of each stored entry."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
