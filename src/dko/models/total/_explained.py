"""How much of the levels of genes their assemblage explains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy import sparse

_MIN_CELLS = 10
_TINY = 1e-9


def explained(profiles: sparse.csr_matrix, predicted: np.ndarray) -> float:
    """Return the explained variance of log shares where genes are present, mean over genes, not below 0 for any.

    Parameters
    ----------
    profiles
        Observed relative profiles, cells x genes, of cells that have not trained.
    predicted
        Predicted profiles, one number per entry.
    """
    n_genes, indices = profiles.shape[1], profiles.indices
    seen = np.bincount(indices, minlength=n_genes)
    observed = np.log(profiles.data.astype(np.float64))
    mean = np.bincount(indices, weights=observed, minlength=n_genes) / np.maximum(seen, 1)
    around = np.bincount(indices, weights=(observed - mean[indices]) ** 2, minlength=n_genes)
    gap = observed - np.log(np.maximum(predicted, _TINY))
    left = np.bincount(indices, weights=gap**2, minlength=n_genes)
    judged = (seen >= _MIN_CELLS) & (around > 0)
    if not judged.any():
        return 0.0
    return float(np.maximum(0, 1 - left[judged] / around[judged]).mean())
