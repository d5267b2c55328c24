"""Arrays that a user may hand in: dense or sparse."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from scipy import sparse

Matrix: TypeAlias = np.ndarray | sparse.sparray | sparse.spmatrix


def dense(matrix: Any) -> np.ndarray:
    """Return a dense float64 array."""
    return np.asarray(matrix.toarray() if sparse.issparse(matrix) else matrix, dtype=np.float64)
