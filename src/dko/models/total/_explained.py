"""How much of the levels of genes their assemblage explains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy import sparse

_MIN_CELLS = 10
_TINY = 1e-9


def explained(profiles: sparse.csr_matrix, predicted: np.ndarray) -> float:
    """Return the share of the variance of log shares, where genes are present, that a prediction explains.

    The variance is that around each gene's regression on log depth (number of present genes): where cells hold few
    counts, a share is little more than one over the depth, and who knows the assemblage knows that. Mean over genes,
    not below 0 for any; NaN where no gene is seen in enough cells to tell.

    Parameters
    ----------
    profiles
        Observed relative profiles, cells x genes, of cells that have not trained.
    predicted
        Predicted profiles, one number per entry.
    """
    n_genes, indices = profiles.shape[1], profiles.indices
    present = np.diff(profiles.indptr)

    def sums(values: np.ndarray) -> np.ndarray:
        return np.bincount(indices, weights=values, minlength=n_genes)

    seen = np.bincount(indices, minlength=n_genes)
    observed, depth = np.log(profiles.data.astype(np.float64)), np.log(np.repeat(present, present))
    observed_apart = observed - (sums(observed) / np.maximum(seen, 1))[indices]
    depth_apart = depth - (sums(depth) / np.maximum(seen, 1))[indices]
    slope = sums(observed_apart * depth_apart) / np.maximum(sums(depth_apart**2), _TINY)
    around = sums((observed_apart - slope[indices] * depth_apart) ** 2)
    left = sums((observed - np.log(np.maximum(predicted, _TINY))) ** 2)
    judged = (seen >= _MIN_CELLS) & (around > _TINY * seen)
    if not judged.any():
        return float("nan")
    return float(np.maximum(0, 1 - left[judged] / around[judged]).mean())
