"""One scale for all slopes, and the level of each gene."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..knockout import AffineMap, presence_of
from ..knockout._cells import all_cells

if TYPE_CHECKING:
    from scipy import sparse

# Every slope is that of one gene alone; together, genes that go with each other would count twice.
_SCALES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0)
_ROUNDS, _LAST_ROUNDS = 5, 30
_SAMPLE = 1_000
_TINY = 1e-12


def best_scale(influence: np.ndarray, training: sparse.csr_matrix, validation: sparse.csr_matrix) -> float:
    """Return the scale with which exp(scale A z + b) gives held-out profiles the best multinomial likelihood.

    Parameters
    ----------
    influence
        A, float32, genes x genes: column g is what gene g adds to every gene.
    training, validation
        Relative profiles, cells x genes; those from which A and b are, and others.
    """
    fitted, held_out = (_Cells(influence, _some(cells)) for cells in (training, validation))
    intercept = fitted.start()
    best, found = -np.inf, _SCALES[0]
    for scale in _SCALES:
        intercept = fitted.balanced(scale, intercept, _ROUNDS)
        likelihood = held_out.likelihood(scale, intercept)
        if likelihood > best:
            best, found = likelihood, scale
    return found


def _some(profiles: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return so many cells at most, evenly spread: neighbours in a file may be of one batch."""
    n_cells = profiles.shape[0]
    return profiles[np.unique(np.linspace(0, n_cells - 1, min(n_cells, _SAMPLE)).astype(int))]


def balance(influence: np.ndarray, profiles: sparse.csr_matrix) -> AffineMap:
    """Return the map exp(A z + b) with which every gene has its observed mean share.

    By iterative scaling (Darroch and Ratcliff 1972), which is the b of the best likelihood.
    """
    cells = _Cells(influence, profiles)
    return AffineMap(influence, cells.balanced(1.0, cells.start(), _LAST_ROUNDS).astype(np.float32), "exp", divisor=1.0)


class _Cells:
    """Cells with what the map adds to their present genes."""

    def __init__(self, influence: np.ndarray, profiles: sparse.csr_matrix):
        n_genes = len(influence)
        self._profiles, self._n_genes = profiles, n_genes
        present = np.diff(profiles.indptr)
        self._row = np.repeat(np.arange(profiles.shape[0]), present)
        affine = AffineMap(influence, np.zeros(n_genes, dtype=np.float32), "exp")
        sums = all_cells(affine, presence_of(profiles)).sums
        self._raw = sums.astype(np.float64)
        seen = np.maximum(np.bincount(profiles.indices, minlength=n_genes), 1)
        self._share = np.bincount(profiles.indices, weights=profiles.data, minlength=n_genes)
        self._mean = self._share / seen

    def start(self) -> np.ndarray:
        """Return the log mean share of each gene where it is present."""
        return np.log(np.maximum(self._mean, _TINY))

    def predicted(self, scale: float, intercept: np.ndarray) -> np.ndarray:
        """Return the profiles at the present genes."""
        raw = scale * self._raw + intercept[self._profiles.indices]
        starts = self._profiles.indptr[:-1]
        top = np.maximum.reduceat(np.append(raw, -np.inf), starts)[self._row]
        output = np.exp(raw - top)
        return output / np.bincount(self._row, weights=output, minlength=len(starts))[self._row]

    def balanced(self, scale: float, intercept: np.ndarray, rounds: int) -> np.ndarray:
        """Return intercepts with which the mean share of every gene is the observed one, nearly."""
        for _ in range(rounds):
            shares = self.predicted(scale, intercept)
            expected = np.bincount(self._profiles.indices, weights=shares, minlength=self._n_genes)
            # 0 for a gene that no cell has.
            step = np.log(np.maximum(self._share, _TINY)) - np.log(np.maximum(expected, _TINY))
            intercept = intercept + step
        return intercept

    def likelihood(self, scale: float, intercept: np.ndarray) -> float:
        """Return the mean log likelihood per cell."""
        shares = self.predicted(scale, intercept)
        return float(self._profiles.data @ np.log(np.maximum(shares, _TINY))) / self._profiles.shape[0]
