"""How much of the levels of genes assemblages explain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...metrics import bray_curtis
from ..knockout import predict
from ..rows import blocks_of
from .regression import PER_ENTRY

if TYPE_CHECKING:
    from scipy import sparse

    from ..knockout import AffineMap
    from ..rows import Rows

# Cells that a gene is judged by, at least, and the least variance and share that count as one.
_MIN_CELLS, _LEAST = 10, 1e-9


class Explained:
    """The share of the variance of log shares, where genes are present, that a prediction explains.

    Around each gene's regression on log depth (number of present genes), as who knows the assemblage knows that. Cells
    are added block by block: sums of them are kept.
    """

    def __init__(self, n_genes: int):
        self._sums = np.zeros((7, n_genes))

    def add(self, profiles: sparse.csr_matrix, predicted: np.ndarray) -> None:
        """Add cells; `predicted` is for each entry of `profiles`."""
        present = np.diff(profiles.indptr)
        observed, depth = np.log(profiles.data.astype(np.float64)), np.log(np.repeat(present, present))
        left = observed - np.log(np.maximum(predicted, _LEAST))
        summed = [np.ones(len(left)), observed, depth, observed**2, depth**2, observed * depth, left**2]
        self._sums += [np.bincount(profiles.indices, one, self._sums.shape[1]) for one in summed]

    def join(self, other: Explained) -> None:
        """Add the cells of another one."""
        self._sums += other._sums

    def share(self) -> float:
        """Return the mean over genes, not below 0 for any; NaN where no gene is seen in enough cells."""
        seen, *sums = self._sums
        observed, depth, observed_squared, depth_squared, both, left = (one / np.maximum(seen, 1) for one in sums)
        variance = np.maximum(depth_squared - depth**2, _LEAST / np.maximum(seen, 1))
        covariance = both - observed * depth
        around = observed_squared - observed**2 - covariance**2 / variance
        judged = (seen >= _MIN_CELLS) & (around > _LEAST)
        if not judged.any():
            return float("nan")
        return float(np.maximum(0, 1 - left[judged] / around[judged]).mean())


def judged(affine: AffineMap, validating: np.ndarray, profiles: Rows, rows: slice) -> tuple[np.ndarray, Explained]:
    """Return the error of each predicted profile, float32, and what is explained in the `validating` ones of all cells.

    The errors are Bray-Curtis dissimilarities; `rows` are the places of these cells among all.
    """
    errors, explained = np.empty(profiles.shape[0], dtype=np.float32), Explained(profiles.shape[1])
    used = validating[rows]
    for some, observed in blocks_of(profiles, PER_ENTRY):
        predicted = predict(affine, observed)
        errors[some] = bray_curtis(predicted, observed)
        explained.add(observed[used[some]], predicted[used[some]].data)
    return errors, explained
