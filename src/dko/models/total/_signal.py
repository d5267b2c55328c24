"""Whether anything follows from a gene at all, in these cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._slopes import slopes

if TYPE_CHECKING:
    from ._regression import Regression

_PERMUTATIONS = 2
# Cells of about the same weight that predictors are dealt among.
_ALIKE = 25


def signal(z: np.ndarray, regression: Regression, rng: np.random.Generator) -> np.ndarray:
    """Return a p-value for each gene: that no other gene goes with it (float64, genes).

    The sum of the squared z-scores of a gene, against those of all genes when the predictors are dealt to other cells
    of about the same weight, as that decides how noisy a cell is: two random orders, as there are as many sums in each
    as there are genes.
    """
    observed = np.square(z, dtype=np.float64).sum(1)
    null = np.concatenate(
        [
            np.square(slopes(regression, _dealt(regression.cell_weight, rng)).z, dtype=np.float64).sum(1)
            for _ in range(_PERMUTATIONS)
        ]
    )
    above = len(null) - np.searchsorted(np.sort(null), observed, side="left")
    return (above + 1) / (len(null) + 1)


def _dealt(weight: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return for each cell another one, at random among those of about the same weight."""
    by_weight = np.lexsort([rng.random(len(weight)), weight])
    stratum = np.arange(len(weight)) // _ALIKE
    order = np.empty(len(weight), dtype=int)
    order[by_weight] = by_weight[np.lexsort([rng.random(len(weight)), stratum])]
    return order
