"""Knocking out every gene of every observed cell, one at a time, with a map of factors.

The factors are the same in all cells, so that one cell with all its knockouts is two passes of multiply and add over
its genes. What is added up are changes, not profiles: where little changes, little is lost to rounding.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

from ..._settings import settings
from ._cells import all_cells, chunks
from ._factors import BOUND
from ._parallel import in_parallel

if TYPE_CHECKING:
    from collections.abc import Callable

    from scipy import sparse

    from ._cells import Cells
    from ._factors import FactorMap

# Knockouts of a cell that are worked on at a time, at most, and numbers of the table of their factors, which is to stay
# in the cache.
_WIDTH, _TILE = 128, 2**15


class Changes(NamedTuple):
    """What some knockouts do.

    Attributes
    ----------
    change
        Factor less 1, float32, genes x knockouts.
    column
        Column of ``change`` of each gene, -1 where it is not knocked out.
    influence, dose
        What the factors are made of: exp(-dose influence).
    """

    change: np.ndarray
    column: np.ndarray
    influence: np.ndarray
    dose: float


def scan(
    factors: FactorMap,
    profiles: sparse.csr_matrix,
    *,
    wanted: np.ndarray | None = None,
    dose: float = 1.0,
    downstream: bool = False,
    advance: Callable[[int], object] = lambda n: None,
) -> np.ndarray:
    """Return the impact of each present gene in each cell, in the order of ``profiles.data`` (float32).

    Parameters
    ----------
    factors
        The fitted map.
    profiles
        Cells relative profiles, cells x genes, CSR, sorted indices.
    wanted
        Genes to knock out, as a mask; NaN stands at the entries of the others. Default: all.
    dose
        Fraction that is removed, in (0, 1].
    downstream
        Return two rows, impacts and downstream impacts.
    advance
        Told now and then how many more entries are done.
    """
    cells = all_cells(factors, profiles)
    found = np.full((1 + downstream, profiles.nnz), np.nan, dtype=np.float32)
    genes = np.arange(factors.n_genes) if wanted is None else np.flatnonzero(wanted)
    step = max(1, settings.memory_budget // (4 * factors.n_genes))
    for first in range(0, len(genes), step):
        some = genes[first : first + step]
        column = np.full(factors.n_genes, -1)
        column[some] = np.arange(len(some))
        changes = Changes(factors.changes(some, dose), column, factors.influence, float(dose))
        in_parallel(partial(_of_rows, cells, changes, found), chunks(profiles))
    advance(profiles.nnz if wanted is None else int(np.count_nonzero(wanted[profiles.indices])))
    return found if downstream else found[0]


def _of_rows(cells: Cells, changes: Changes, found: np.ndarray, rows: slice) -> None:
    knock_out_genes(cells, changes, rows.start, rows.stop, found)


# The order of a sum is free.
@njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def knock_out_genes(cells: Cells, changes: Changes, first: int, last: int, found: np.ndarray) -> None:
    """Write impacts and, where `found` has two rows, downstream impacts of the cells from `first` to `last`."""
    longest = 1
    for cell in range(first, last):
        longest = max(longest, cells.indptr[cell + 1] - cells.indptr[cell])
    most = max(16, min(_WIDTH, _TILE // longest))
    tile = np.empty((longest, most), dtype=np.float32)
    moved, apart, apart_others = np.empty((3, most), dtype=np.float32)
    scale, shift, scale_others, shift_others = np.empty((4, most), dtype=np.float32)
    # Of the genes to knock out: where they are among the present ones, and in the table.
    place, column = np.empty(longest + 1, dtype=np.int64), np.empty(longest, dtype=np.uint32)
    for cell in range(first, last):
        start, stop = cells.indptr[cell], cells.indptr[cell + 1]
        indices, profile = cells.indices[start:stop], cells.profile[start:stop]
        n, n_out, total = stop - start, 0, 0.0
        for j in range(n):
            total += profile[j]
            if changes.column[indices[j]] >= 0:
                place[n_out], column[n_out] = j, changes.column[indices[j]]
                n_out += 1
        for begin in range(0, n_out, most):
            width = min(most, n_out - begin)
            some = column[begin : begin + width]
            moved[:width] = 0
            for j in range(n):
                share, row = profile[j], changes.change[indices[j]]
                for k in range(width):
                    tile[j, k] = row[some[k]]
                    moved[k] += share * tile[j, k]
            for k in range(width):
                own = float(profile[place[begin + k]])
                rest = total - own
                after = rest + moved[k]
                whole = after + (1 - changes.dose) * own
                scale[k], scale_others[k] = 1 / whole, 1 / after
                shift[k] = (changes.dose * own - moved[k]) / (whole * total)
                shift_others[k] = -moved[k] / (after * rest)
            apart[:width], apart_others[:width] = 0, 0
            next_out = 0
            for j in range(n):
                share, itself = profile[j], next_out
                # The gene that is knocked out is left out of the sums.
                is_out = next_out < width and place[begin + next_out] == j
                kept, kept_others = apart[itself % width], apart_others[itself % width]
                for k in range(width):
                    apart[k] += share * abs(shift[k] + scale[k] * tile[j, k])
                    apart_others[k] += share * abs(shift_others[k] + scale_others[k] * tile[j, k])
                if is_out:
                    apart[itself], apart_others[itself] = kept, kept_others
                    next_out += 1
            for k in range(width):
                own = float(profile[place[begin + k]])
                rest = total - own
                after = rest + moved[k]
                entry = start + place[begin + k]
                left = (1 - changes.dose) * own
                impact = 0.5 * (apart[k] + abs(left / (after + left) - own / total))
                impact_others = 0.5 * float(apart_others[k])
                if rest < 1e-6 * total or after < 0.125 * rest:
                    # Differences of numbers that are nearly the same.
                    impact, impact_others = _carefully(
                        indices, profile, changes.influence, place[begin + k], changes.dose
                    )
                found[0, entry] = min(1.0, impact)
                if len(found) > 1:
                    found[1, entry] = min(1.0, impact_others)


@njit(nogil=True, cache=True, error_model="numpy")
def _carefully(
    indices: np.ndarray, profile: np.ndarray, influence: np.ndarray, own: int, dose: float
) -> tuple[float, float]:
    """Return the impact and the downstream impact of one knockout, in double precision from profiles."""
    change = np.empty(len(profile))
    for j in range(len(profile)):
        change[j] = -dose * max(-BOUND, min(BOUND, influence[indices[j], indices[own]]))
    is_out = np.zeros(len(profile), dtype=np.bool_)
    is_out[own] = True
    return compare(profile, change, is_out, dose)


@njit(nogil=True, cache=True, error_model="numpy")
def compare(profile: np.ndarray, change: np.ndarray, is_out: np.ndarray, dose: float) -> tuple[float, float]:
    """Return impact and downstream impact; in `change`, logs of factors become the profile after the knockout."""
    rest = after = left = total = 0.0
    for j in range(len(profile)):
        total += profile[j]
        if is_out[j]:
            change[j] = (1 - dose) * profile[j]
            left += change[j]
        else:
            change[j] = profile[j] * math.exp(change[j])
            after += change[j]
            rest += profile[j]
    whole = after + left
    apart = apart_others = 0.0
    for j in range(len(profile)):
        share = profile[j] / total if total > 0 else 0.0
        if not is_out[j] and rest > 0:
            apart_others += abs(change[j] / after - profile[j] / rest)
        change[j] = change[j] / whole if whole > 0 else 0.0
        apart += abs(change[j] - share)
    both = (whole > 0) + (total > 0)
    return (apart / both if both > 0 else 0.0), 0.5 * apart_others
