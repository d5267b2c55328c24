"""Means of random parts of cells."""

from __future__ import annotations

import numpy as np
from scipy import sparse


def means_of_parts(
    values: sparse.csr_array, size: int, n_parts: int, n_splits: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the means of disjoint random parts of cells, again for every split: parts x splits x genes.

    `size` is the number of cells in a part.
    """
    n_cells = values.shape[0]
    order = rng.permuted(np.tile(np.arange(n_cells), (n_splits, 1)), axis=1)
    weights = np.zeros((n_parts, n_splits, n_cells))
    for part in range(n_parts):
        np.put_along_axis(weights[part], order[:, part * size : (part + 1) * size], 1 / size, axis=1)
    means = weights.reshape(-1, n_cells) @ values
    return np.asarray(means).reshape(n_parts, n_splits, values.shape[1])
