"""Counts behind values: in each cell, all of them are whole multiples of one unit, whatever it was normalised to."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse

# Relative distance from a whole number that single precision leaves after a logarithm and back, and how many units
# the least value of a cell may hold: genes may have been left out since cells were normalised.
_EXACT, _MOST_UNITS = 1e-5, 256
# The same for values that were rounded, where more units than these could not be trusted.
_ROUNDED, _FEW_UNITS = 1e-3, 4
# Of values that only have to be recognised: logarithms with three decimals.
_RECOGNISED = 2.5e-3
# Cells that show whether a search through all of them is worth it.
_SOME_CELLS = 256


def are_counts(values: sparse.csr_matrix) -> bool:
    """Whether all values are whole numbers."""
    return bool(np.all(values.data == np.rint(values.data)))


def counts_again(values: sparse.csr_matrix) -> sparse.csr_matrix | None:
    """Return the counts that linear values were before each cell was normalised; None where they cannot be recovered.

    A cell whose counts have a common divisor gets them divided by it.
    """
    if are_counts(values):
        return values
    counts, known = recovered(values)
    return counts if known.mean() >= 0.99 else None


def recovered(values: sparse.csr_matrix) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Return counts, and for each cell whether they are known; of others, values in units of the least one."""
    if are_counts(values):
        return values, np.ones(values.shape[0], dtype=bool)
    data, n_entries = values.data.astype(np.float64), np.diff(values.indptr)
    ratio = data / np.repeat(_least(data, values.indptr), n_entries)
    some = np.linspace(0, values.shape[0] - 1, min(values.shape[0], _SOME_CELLS)).astype(int)
    part = values[some]
    found = _units(part.data / np.repeat(_least(part.data, part.indptr), np.diff(part.indptr)), part.indptr, _ROUNDED)
    n = np.zeros(values.shape[0], dtype=int)
    if (found.n > 0).mean() > 0.5:
        n = _units(ratio, values.indptr, _ROUNDED).n
    known = n > 0
    counts = np.where(np.repeat(known, n_entries), np.rint(ratio * np.repeat(n, n_entries)), ratio)
    return sparse.csr_matrix((counts.astype(values.dtype), values.indices, values.indptr), shape=values.shape), known


class Evidence(NamedTuple):
    """Whether counts are behind values.

    Attributes
    ----------
    cells
        Of each cell, whether its values are whole multiples of one unit; cells of a single value tell nothing.
    log_chance
        Of each cell, an upper bound of the logarithm of the probability that any numbers would be; 0 where they are
        none.
    """

    cells: np.ndarray
    log_chance: np.ndarray


def evidence(values: np.ndarray, indptr: np.ndarray) -> Evidence:
    """Look for counts behind linear values, the distinct ones of each cell in ascending order."""
    n_entries = np.diff(indptr)
    ratio = values / np.repeat(_least(values, indptr), n_entries)
    found = _units(ratio, indptr, _RECOGNISED)
    row = np.repeat(np.arange(len(n_entries)), n_entries)
    n, tolerance = found.n[row], found.tolerance[row]
    # Values that differ by rounding alone are one.
    new = np.append(False, values[1:] > values[:-1] * 1.01) & (ratio > 1) if len(values) else ratio > 1
    by_chance = np.where(new, np.log(np.clip(2 * tolerance * n * ratio, 1e-12, 1.0)), 0.0)
    tried = np.log(np.maximum(np.where(found.tolerance > _EXACT, found.n + _MOST_UNITS, found.n), 1))
    log_chance = np.minimum(np.bincount(row, by_chance, minlength=len(n_entries)) + tried, 0.0)
    return Evidence(found.n > 0, np.where(found.n > 0, log_chance, 0.0))


class _Units(NamedTuple):
    """How many units the least value of each cell holds, 0 where there is no such number, and how exactly."""

    n: np.ndarray
    tolerance: np.ndarray


def _units(ratio: np.ndarray, indptr: np.ndarray, loosest: float) -> _Units:
    """Find the least number that makes whole all values of a cell over its least one."""
    n_entries = np.diff(indptr)
    n, exact = np.where(n_entries == 0, 1, 0), np.full(len(n_entries), loosest)
    row = np.repeat(np.arange(len(n_entries)), n_entries)
    for tolerance, most in ((_EXACT, _MOST_UNITS), (loosest, _FEW_UNITS)):
        still, of = ratio[n[row] == 0], row[n[row] == 0]
        for units in range(1, most + 1):
            many = units * still
            broken = np.zeros(len(n_entries), dtype=bool)
            broken[of[np.abs(many - np.rint(many)) > tolerance * many]] = True
            solved = np.unique(of[~broken[of]])
            if len(solved):
                n[solved], exact[solved] = units, tolerance
                still, of = still[broken[of]], of[broken[of]]
            if not len(of):
                break
    return _Units(n, exact)


def _least(values: np.ndarray, indptr: np.ndarray) -> np.ndarray:
    """Return the least value of each cell; of cells without values, something."""
    return np.minimum.reduceat(np.append(values, np.inf), indptr[:-1])
