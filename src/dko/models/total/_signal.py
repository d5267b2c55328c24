"""Whether anything follows from a gene at all, in these cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._slopes import slopes

if TYPE_CHECKING:
    from ._regression import Regression

_PERMUTATIONS = 2


def signal(z: np.ndarray, regression: Regression, rng: np.random.Generator) -> np.ndarray:
    """Return a p-value for each gene: that no other gene goes with it (float64, genes).

    The sum of the squared z-scores of a gene, against those of all genes when the predictors are dealt to other cells:
    two random orders, as there are as many sums in each as there are genes.
    """
    observed = np.square(z, dtype=np.float64).sum(1)
    n_cells = regression.profiles.shape[0]
    null = np.concatenate(
        [
            np.square(slopes(regression, rng.permutation(n_cells)).z, dtype=np.float64).sum(1)
            for _ in range(_PERMUTATIONS)
        ]
    )
    above = len(null) - np.searchsorted(np.sort(null), observed, side="left")
    return (above + 1) / (len(null) + 1)
