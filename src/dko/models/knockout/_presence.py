"""Which genes are present, from any values."""

from __future__ import annotations

import numpy as np
from scipy import sparse


def presence_of(values: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return ones (float32) at the entries of a CSR matrix, with its own indices."""
    ones = np.ones(values.nnz, dtype=np.float32)
    return sparse.csr_matrix((ones, values.indices, values.indptr), shape=values.shape)
