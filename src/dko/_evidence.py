"""What values show of their scale: the counts behind them, their sums, and other matrices of the same AnnData."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd

from ._counts import evidence
from ._data import place, readable, row_blocks, sample_rows
from ._places import other_matrices

if TYPE_CHECKING:
    from anndata import AnnData
    from scipy import sparse

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


def found_in(
    values: sparse.csr_matrix, adata: AnnData, layer: str | None, use_raw: bool, mark: float | None, *, mixed: bool
) -> Found:
    """Return what some cells of a matrix show, the surest sign first.

    Raises
    ------
    ValueError
        Some cells are on one scale and some on another, unless `mixed` allows it.
    """
    bases = [None, *dict.fromkeys([*([] if mark is None else [mark]), float(math.e), 2.0, 10.0])]
    return (
        _by_counts(values, bases, mark, None if mixed else place(layer, use_raw))
        or _by_sums(values, bases)
        or _by_raw(values, adata, use_raw, bases)
        or _by_others(values, adata, layer, use_raw, bases[1:])
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
        found = evidence(_linear(distinct, base), indptr)
        fits[number], chance[number] = found.cells[telling], found.log_chance.sum()
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


def _columns(values: sparse.csr_matrix, adata: AnnData, use_raw: bool) -> pd.Index:
    """Return the names of the columns of values that may be those of all genes, or of those that are read."""
    columns = adata.raw.var_names if use_raw and values.shape[1] == adata.raw.n_vars else adata.var_names
    return columns if len(columns) == values.shape[1] else pd.Index(readable(adata, use_raw))


def _by_raw(values: sparse.csr_matrix, adata: AnnData, use_raw: bool, bases: list[float | None]) -> Found:
    """Decide by the sums over all genes of raw, of which these may be some."""
    columns = _columns(values, adata, use_raw)
    if adata.raw is None or not adata.raw.var_names.is_unique or not columns.isin(adata.raw.var_names).all():
        return None
    whole = row_blocks(adata.raw.X, sample_rows(adata.n_obs))
    if (whole[:, adata.raw.var_names.get_indexer(columns)] != values).nnz:
        return None
    found = _by_sums(whole, bases)
    return None if found is None else (*found[:2], f"over all genes of raw {found[2]}")


def _by_others(
    values: sparse.csr_matrix, adata: AnnData, layer: str | None, use_raw: bool, bases: list[float | None]
) -> Found:
    """Decide by another matrix of which these are the logarithms, or which holds the logarithms of these."""
    columns = _columns(values, adata, use_raw)
    for name, source, names in other_matrices(adata, layer, use_raw):
        shared = columns.intersection(names, sort=False)
        one = values[:, columns.get_indexer(shared)]
        other = row_blocks(source, sample_rows(adata.n_obs))[:, names.get_indexer(shared)]
        one.sort_indices()
        other.sort_indices()
        if not one.nnz or not all(np.array_equal(getattr(one, at), getattr(other, at)) for at in ("indptr", "indices")):
            continue
        for base in bases:
            if _proportional(_linear(one.data, base), other.data, one.indptr):
                return "log1p", base, f"they are the logarithms of {name}"
            if _proportional(_linear(other.data, base), one.data, one.indptr):
                return "linear", None, f"{name} holds their logarithms"
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
