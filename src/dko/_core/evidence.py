"""Counts behind values: in each cell, all of them are whole multiples of one unit, whatever it was normalised to."""

from __future__ import annotations

import numpy as np
from scipy import sparse

# Relative distance from a whole number that single precision leaves after a logarithm and back, and how many units
# the least value of a cell may hold: genes may have been left out since cells were normalised.
_EXACT, _MOST_UNITS = 1e-5, 256
# The same for values that were rounded, where more units than these could not be trusted.
_ROUNDED, _FEW_UNITS = 1e-3, 4
# Cells that show whether a search through all of them is worth it.
_SOME_CELLS = 256


def are_counts(values: sparse.csr_matrix) -> bool:
    """Whether all values are whole numbers."""
    return bool(np.all(values.data == np.rint(values.data)))


def counts_again(values: sparse.csr_matrix) -> sparse.csr_matrix | None:
    """Return the counts that linear values were before normalisation, over their common divisor, or None."""
    if are_counts(values):
        return values
    some = values[np.linspace(0, values.shape[0] - 1, min(values.shape[0], _SOME_CELLS)).astype(int)]
    if (units(some.data, rows_of(some), some.shape[0], _ROUNDED) > 0).mean() <= 0.5:
        return None
    row = rows_of(values)
    n = units(values.data, row, values.shape[0], _ROUNDED)
    return None if (n > 0).mean() < 0.99 else _times(values, row, n)


def as_counts(values: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return the counts that linear values were, of cells that :func:`counts_again` has found to be such."""
    row = rows_of(values)
    return _times(values, row, units(values.data, row, values.shape[0], _ROUNDED))


def _times(values: sparse.csr_matrix, row: np.ndarray, n: np.ndarray) -> sparse.csr_matrix:
    """Return values over the least one of their row, times the units that this holds; as it is where none is known."""
    ratio = over_least(values.data, row)
    counts = np.where(n[row] > 0, np.rint(ratio * n[row]), ratio).astype(values.dtype)
    return sparse.csr_matrix((counts, values.indices, values.indptr), shape=values.shape)


def rows_of(values: sparse.csr_matrix) -> np.ndarray:
    """Return the row of each entry."""
    return np.repeat(np.arange(values.shape[0]), np.diff(values.indptr))


def over_least(values: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Divide values, sorted by their `row`, by the least one of each row (float64)."""
    first = np.flatnonzero(np.diff(row, prepend=-1))
    least = np.minimum.reduceat(values, first) if len(first) else values
    return values.astype(np.float64) / np.repeat(least, np.diff(first, append=len(row)))


def units(values: np.ndarray, row: np.ndarray, n_rows: int, rounded: float) -> np.ndarray:
    """Return how many units the least value of each row holds, 0 where no number makes all values whole.

    `rounded` is the relative distance from a whole number where values are not exact.
    """
    ratio, found = over_least(values, row), np.zeros(n_rows, dtype=int)
    for tolerance, most in ((_EXACT, _MOST_UNITS), (rounded, _FEW_UNITS)):
        left = found[row] == 0
        still, of = ratio[left], row[left]
        for n in range(1, most + 1):
            off = np.abs(n * still - np.rint(n * still)) > tolerance * n * still
            broken = np.bincount(of, off, n_rows) > 0
            found[~broken & (found == 0)] = n
            still, of = still[broken[of]], of[broken[of]]
    return found
