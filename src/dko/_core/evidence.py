"""Counts behind values: in each cell, all of them are whole multiples of one unit, whatever it was normalised to."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import pandas as pd
from scipy import sparse

from . import keys
from .cells import Source

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
    """Return the counts that linear values were before normalisation, over their common divisor, or None."""
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
    of_least = part.data / np.repeat(_least(part.data, part.indptr), np.diff(part.indptr))
    found, _ = _units(of_least, part.indptr, _ROUNDED)
    n = np.zeros(values.shape[0], dtype=int)
    if (found > 0).mean() > 0.5:
        n, _ = _units(ratio, values.indptr, _ROUNDED)
    known = n > 0
    counts = np.where(np.repeat(known, n_entries), np.rint(ratio * np.repeat(n, n_entries)), ratio)
    return sparse.csr_matrix((counts.astype(values.dtype), values.indices, values.indptr), shape=values.shape), known


def evidence(values: np.ndarray, indptr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Look for counts behind linear values, the distinct ones of each cell in ascending order.

    Returned for each cell: whether its values are whole multiples of one unit (those of a single value tell nothing);
    and an upper bound of the logarithm of the probability that any numbers would be, 0 where they are none.
    """
    n_entries = np.diff(indptr)
    ratio = values / np.repeat(_least(values, indptr), n_entries)
    units, exact = _units(ratio, indptr, _RECOGNISED)
    row = np.repeat(np.arange(len(n_entries)), n_entries)
    n, tolerance = units[row], exact[row]
    # Values that differ by rounding alone are one.
    new = np.append(False, values[1:] > values[:-1] * 1.01) & (ratio > 1) if len(values) else ratio > 1
    by_chance = np.where(new, np.log(np.clip(2 * tolerance * n * ratio, 1e-12, 1.0)), 0.0)
    tried = np.log(np.maximum(np.where(exact > _EXACT, units + _MOST_UNITS, units), 1))
    log_chance = np.minimum(np.bincount(row, by_chance, minlength=len(n_entries)) + tried, 0.0)
    return units > 0, np.where(units > 0, log_chance, 0.0)


def _units(ratio: np.ndarray, indptr: np.ndarray, loosest: float) -> tuple[np.ndarray, np.ndarray]:
    """Return how many units the least value of each cell holds, 0 where no number makes all whole, and how exactly."""
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
    return n, exact


def _least(values: np.ndarray, indptr: np.ndarray) -> np.ndarray:
    """Return the least value of each cell; of cells without values, something."""
    return np.minimum.reduceat(np.append(values, np.inf), indptr[:-1])


# Cells by which counts are known.
_FEW = 32


def elsewhere(source: Source, *, counts: bool) -> Source | None:
    """Return another matrix that holds counts, or else values that are nowhere negative."""
    for other in source.others():
        if not np.issubdtype(other.matrix.dtype, np.number) or str(other.layer).startswith(f"{keys.DEFAULT}_"):
            continue
        some = other.sample(_FEW)
        if some.nnz and np.isfinite(some.data).all() and (some.data >= 0).all() and (not counts or are_counts(some)):
            return other
    return None


# Kind, base of the logarithm, and how that is known; None where it is not.
Found: TypeAlias = tuple[str, float | None, str] | None

# Evidence is certain where chance would give it in fewer than one of a million data sets, in nearly all cells.
_UNLIKELY, _MOST = -14.0, 0.95
# Distinct values of a cell that are looked at.
_DISTINCT = 24
# What turns back to a number that is still finite; no logarithm of expression is as large.
_NO_LOGARITHM = 100.0
# Values of so many decimals are whole multiples of one unit, whatever they are.
_DECIMALS = 3
# Cells whose sum says what they were normalised to, and how exactly.
_FEW_CELLS, _SAME_SUM = 10, 1e-3


def found_in(values: sparse.csr_matrix, source: Source, mark: float | None, *, mixed: bool) -> Found:
    """Return what some cells of a matrix show, the surest sign first; ValueError: on two scales, unless `mixed`."""
    bases = [None, *dict.fromkeys([*([] if mark is None else [mark]), float(math.e), 2.0, 10.0])]
    return (
        _by_counts(values, bases, mark, None if mixed else str(source))
        or _by_sums(values, bases)
        or _by_others(values, source, bases[1:])
    )


def _linear(values: np.ndarray, base: float | None) -> np.ndarray:
    values = values.astype(np.float64)
    return values if base is None else np.expm1(np.minimum(values * np.log(base), _NO_LOGARITHM))


def _by_counts(values: sparse.csr_matrix, bases: list[float | None], mark: float | None, where: str | None) -> Found:
    """Decide by whether the values, or their exponentials, are whole counts times one factor per cell."""
    distinct, indptr = _distinct(values)
    telling = np.diff(indptr) > 1
    if not telling.any():
        return None
    fits, chance = np.zeros((len(bases), telling.sum()), dtype=bool), np.zeros(len(bases))
    for number, base in enumerate(bases):
        if base is None and _rounded(distinct):
            continue
        cells, log_chance = evidence(_linear(distinct, base), indptr)
        fits[number], chance[number] = cells[telling], log_chance.sum()
    able = fits.mean(axis=1) >= _MOST
    if not able.any():
        broken = np.bincount(np.repeat(np.arange(len(telling)), np.diff(indptr)), distinct % 1 != 0, len(telling))
        # Powers of 2 and 10 are whole as well.
        fits[1:, broken[telling] == 0] = False
        _refuse_mixture(fits, chance, bases, where)
        return None
    best, *others = np.argsort(np.where(able, chance, np.inf), kind="stable")
    if chance[best] - min([0.0, *chance[[one for one in others if able[one]]]]) > _UNLIKELY:
        return None
    base = bases[best]
    if base is None:
        other = "" if mark is None else "; uns['log1p'] belongs to another matrix"
        return "linear", None, f"they are counts times one factor per cell{other}"
    other = "" if mark in (None, base) else f", not {mark:g} as uns['log1p'] says"
    return "log1p", base, f"their exponentials (base {_spelled(base)}) are counts times one factor per cell{other}"


def _rounded(values: np.ndarray) -> bool:
    """Whether values were rounded to a few decimals, which are no counts by themselves."""
    values = values.astype(np.float64)
    return bool((values % 1 != 0).any() and np.allclose(np.round(values, _DECIMALS), values, rtol=1e-6, atol=0))


def _spelled(base: float) -> str:
    return "e" if base == math.e else f"{base:g}"


def _refuse_mixture(fits: np.ndarray, chance: np.ndarray, bases: list[float | None], where: str | None) -> None:
    """Refuse a matrix whose cells are not on one scale."""
    alone = fits & (fits.sum(axis=0) == 1)
    several = (alone.mean(axis=1) > 1 - _MOST) & (chance < 10 * _UNLIKELY)
    if where is None or several.sum() < 2 or alone[several].any(axis=0).mean() < 0.8:
        return
    kinds = ["linear values" if base is None else f"logarithms of base {_spelled(base)}" for base in bases]
    raise ValueError(
        f"The cells of {where} are not on one scale: "
        + ", ".join(f"{alone[one].mean():.0%} hold {kinds[one]}" for one in np.flatnonzero(several))
        + "; put them on one scale before they are joined."
    )


def _distinct(values: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct values of each cell in ascending order, the smallest ones, and where each cell begins."""
    row = np.repeat(np.arange(values.shape[0]), np.diff(values.indptr))
    order = np.lexsort((values.data, row))
    row, data = row[order], values.data[order]
    new = np.append(True, (row[1:] != row[:-1]) | (data[1:] != data[:-1]))[: len(row)]
    row, data = row[new], data[new]
    first = np.searchsorted(row, np.arange(values.shape[0]))
    kept = np.arange(len(row)) - first[row] < _DISTINCT
    return data[kept], np.searchsorted(row[kept], np.arange(values.shape[0] + 1))


def _by_sums(values: sparse.csr_matrix, bases: list[float | None]) -> Found:
    """Decide by which of them have the same sum in all cells: what they were normalised to."""
    for base in bases:
        sums = _sums(values, base)
        if (
            len(sums) >= _FEW_CELLS
            and np.isfinite(sums).all()
            and np.mean(np.abs(sums / np.median(sums) - 1) < _SAME_SUM) >= _MOST
        ):
            what = "they sum" if base is None else f"their exponentials (base {_spelled(base)}), minus 1, sum"
            return "linear" if base is None else "log1p", base, f"{what} to {np.median(sums):.6g} in every cell"
    return None


def sums_vary_less(values: sparse.csr_matrix, base: float) -> bool:
    """Whether cells have more even sums with the logarithm turned back, as normalised ones have."""
    as_they_are, turned_back = _sums(values, None), _sums(values, base)
    if len(as_they_are) < _FEW_CELLS:
        return False
    return bool(_spread(turned_back) < 0.9 * _spread(as_they_are))


def _spread(sums: np.ndarray) -> float:
    return float(np.std(np.log(sums)))


def _sums(values: sparse.csr_matrix, base: float | None) -> np.ndarray:
    """Return the sums of the cells that have more than one value."""
    values = values[np.diff(values.indptr) > 1]
    row = np.repeat(np.arange(values.shape[0]), np.diff(values.indptr))
    return np.bincount(row, _linear(values.data, base), minlength=values.shape[0])


def _by_others(values: sparse.csr_matrix, source: Source, bases: list[float | None]) -> Found:
    """Decide by another matrix of which these are the logarithms, or which holds the logarithms of these."""
    # Of all genes, or of those that are read.
    columns = source.names if len(source.names) == values.shape[1] else pd.Index(source.genes)
    for matrix in source.others():
        shared = columns.intersection(matrix.names, sort=False)
        one = values[:, columns.get_indexer(shared)]
        other = matrix.sample()[:, matrix.names.get_indexer(shared)]
        one.sort_indices()
        other.sort_indices()
        if not one.nnz or not all(np.array_equal(getattr(one, at), getattr(other, at)) for at in ("indptr", "indices")):
            continue
        for base in bases:
            if _proportional(_linear(one.data, base), other.data, one.indptr):
                return "log1p", base, f"they are the logarithms of {matrix}"
            if _proportional(_linear(other.data, base), one.data, one.indptr):
                return "linear", None, f"{matrix} holds their logarithms"
    return None


def _proportional(one: np.ndarray, other: np.ndarray, indptr: np.ndarray) -> bool:
    """Whether the values of each cell are those of the other up to one factor."""
    with np.errstate(all="ignore"):
        ratio = one / other
    n_entries = np.diff(indptr)
    filled = n_entries > 1
    if not np.isfinite(ratio).all() or not filled.any():
        return False
    least = np.minimum.reduceat(np.append(ratio, 1), indptr[:-1])[filled]
    most = np.maximum.reduceat(np.append(ratio, 1), indptr[:-1])[filled]
    return bool(np.mean(most <= least * (1 + 1e-4)) >= _MOST)
