"""What comparisons of two sets of cells share."""

from __future__ import annotations

import numpy as np


def check_samples(a: np.ndarray, b: np.ndarray) -> None:
    """Refuse sets that cannot be compared."""
    if len(a) < 2 or len(b) < 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"Both sets need 2 cells or more, of the same components; got {a.shape} and {b.shape}.")


def mean_of_pairs(matrix: np.ndarray) -> float:
    """Return the mean over pairs of different cells: what a cell has with itself would make it biased."""
    n = len(matrix)
    return float((matrix.sum() - np.trace(matrix)) / (n * (n - 1)))
