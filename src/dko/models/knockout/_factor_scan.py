"""Knocking out every gene of every observed cell, one at a time, with a map of factors.

The factors are the same in all cells, so that one cell with all its knockouts is two passes of multiply and add over
its genes. What is added up are changes, not profiles: where little changes, little is lost to rounding.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from ._cells import all_cells, chunks
from ._factors import BOUND
from ._parallel import in_parallel
from ._tables import find_knockouts, room_for, tables_of, take

if TYPE_CHECKING:
    from collections.abc import Callable

    from scipy import sparse

    from ._cells import Cells
    from ._factors import FactorMap
    from ._tables import Table


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
        Observed relative profiles, cells x genes, CSR, sorted indices.
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
    for table in tables_of(partial(factors.changes, dose=dose), profiles, wanted):
        in_parallel(partial(_of_rows, cells, table, factors.influence, float(dose), found), chunks(profiles))
        advance(int(np.count_nonzero(table.column[profiles.indices] >= 0)))
    return found if downstream else found[0]


def _of_rows(cells: Cells, table: Table, influence: np.ndarray, dose: float, found: np.ndarray, rows: slice) -> None:
    knock_out_genes(cells, table, influence, dose, rows.start, rows.stop, found)


# The order of a sum is free.
@njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def knock_out_genes(
    cells: Cells, table: Table, influence: np.ndarray, dose: float, first: int, last: int, found: np.ndarray
) -> None:
    """Write impacts and, where `found` has two rows, downstream impacts of the cells from `first` to `last`.

    `table` has the factors less 1, which are exp(-dose influence).
    """
    room = room_for(table, max(1, np.diff(cells.indptr[first : last + 1]).max()))
    most = room.tile.shape[1]
    moved, apart, apart_others = np.empty((3, most), dtype=np.float32)
    scale, shift, scale_others, shift_others = np.zeros((4, most), dtype=np.float32)
    for cell in range(first, last):
        start, stop = cells.indptr[cell], cells.indptr[cell + 1]
        indices, profile = cells.indices[start:stop], cells.profile[start:stop]
        n_out, total = find_knockouts(table, indices, room), 0.0
        for share in profile:
            total += share
        step = max(1, n_out) if table.whole else most
        for begin in range(0, n_out, step):
            end = min(n_out, begin + step)
            change, width = take(table, indices, begin, end, room)
            moved[:width], apart[:width], apart_others[:width] = 0, 0, 0
            for j in range(len(indices)):
                share, row = profile[j], change[room.row_of[j]]
                for k in range(width):
                    moved[k] += share * row[k]
            for place in room.place[begin:end]:
                lane, own = room.lane_of[place], float(profile[place])
                rest = total - own
                after = rest + moved[lane]
                whole = after + (1 - dose) * own
                scale[lane], scale_others[lane] = 1 / whole, 1 / after
                shift[lane] = (dose * own - moved[lane]) / (whole * total)
                shift_others[lane] = -moved[lane] / (after * rest)
            for j in range(len(indices)):
                share, row, lane = profile[j], change[room.row_of[j]], room.lane_of[j]
                kept, kept_others = apart[max(lane, 0)], apart_others[max(lane, 0)]
                for k in range(width):
                    apart[k] += share * abs(shift[k] + scale[k] * row[k])
                    apart_others[k] += share * abs(shift_others[k] + scale_others[k] * row[k])
                if lane >= 0:  # the gene that is knocked out is left out of its own sums
                    apart[lane], apart_others[lane] = kept, kept_others
            for place in room.place[begin:end]:
                lane, own = room.lane_of[place], float(profile[place])
                rest = total - own
                after, left = rest + moved[lane], (1 - dose) * own
                impact = 0.5 * (apart[lane] + abs(left / (after + left) - own / total))
                impact_others = 0.5 * float(apart_others[lane])
                if rest < 1e-6 * total or after < 0.125 * rest:
                    # Differences of numbers that are nearly the same.
                    impact, impact_others = _carefully(indices, profile, influence, place, dose)
                found[0, start + place] = min(1.0, impact)
                if len(found) > 1:
                    found[1, start + place] = min(1.0, impact_others)
                room.lane_of[place] = -1


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
