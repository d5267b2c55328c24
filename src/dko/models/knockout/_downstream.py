"""Downstream impacts of a map that predicts profiles: what a knockout does to the other genes alone."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from ._cells import chunks, read_cells
from ._parallel import in_parallel
from ._tables import find_knockouts, room_for, tables_of, take

if TYPE_CHECKING:
    from scipy import sparse

    from ._cells import Cells
    from ._map import Map
    from ._tables import Table


def add_downstream(
    affine: Map,
    presence: sparse.csr_matrix,
    sums: np.ndarray,
    wanted: np.ndarray | None,
    dose: float,
    found: np.ndarray,
) -> None:
    """Write the downstream impact of each present gene that is wanted, in the order of ``presence.data``."""
    cells = read_cells(affine, presence.indptr.astype(np.int64), presence.indices, sums)
    for table in tables_of(lambda genes: np.ascontiguousarray(affine.columns(genes).T), presence, wanted):
        in_parallel(partial(_of_rows, cells, table, float(dose), found), chunks(presence))


def _of_rows(cells: Cells, table: Table, dose: float, found: np.ndarray, rows: slice) -> None:
    knock_out_genes(cells, table, dose, rows.start, rows.stop, found)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def knock_out_genes(cells: Cells, table: Table, dose: float, first: int, last: int, found: np.ndarray) -> None:
    """Write the downstream impacts of the cells from `first` to `last`; `table` has columns of the map."""
    room = room_for(table, max(1, np.diff(cells.indptr[first : last + 1]).max()))
    most, slope = room.tile.shape[1], np.float32(dose)
    after, apart = np.empty((2, most), dtype=np.float32)
    scale, before = np.zeros((2, most), dtype=np.float32)
    for cell in range(first, last):
        start, stop = cells.indptr[cell], cells.indptr[cell + 1]
        indices, profile = cells.indices[start:stop], cells.profile[start:stop]
        n, n_out, total = len(indices), find_knockouts(table, indices, room), 0.0
        for share in profile:
            total += share
        # Outputs times the number of genes that are left, which profiles do not depend on.
        base = cells.sums[start:stop] + np.float32(n - dose) * cells.intercept[indices]
        step = max(1, n_out) if table.whole else most
        for begin in range(0, n_out, step):
            end = min(n_out, begin + step)
            columns, width = take(table, indices, begin, end, room)
            after[:width], apart[:width] = 0, 0
            for j in range(n):
                level, row, lane = base[j], columns[room.row_of[j]], room.lane_of[j]
                kept = after[max(lane, 0)]
                for k in range(width):
                    after[k] += abs(level - slope * row[k])
                if lane >= 0:  # the gene that is knocked out is left out of its own sums
                    after[lane] = kept
            for place in room.place[begin:end]:
                lane, rest = room.lane_of[place], total - profile[place]
                scale[lane] = 1 / after[lane] if after[lane] > 0 else 0.0
                before[lane] = 1 / rest if rest > 1e-7 * total else 0.0
            for j in range(n):
                level, share, row, lane = base[j], profile[j], columns[room.row_of[j]], room.lane_of[j]
                kept = apart[max(lane, 0)]
                for k in range(width):
                    apart[k] += abs(scale[k] * abs(level - slope * row[k]) - before[k] * share)
                if lane >= 0:
                    apart[lane] = kept
            for place in room.place[begin:end]:
                lane = room.lane_of[place]
                both = (after[lane] > 0) + (before[lane] > 0)
                found[start + place] = min(1.0, apart[lane] / both) if both > 0 else 0.0
                room.lane_of[place] = -1


@njit(nogil=True, cache=True, error_model="numpy")
def dissimilarity(outputs: np.ndarray, shares: np.ndarray) -> float:
    """Return the Bray-Curtis dissimilarity of two profiles on any scale."""
    after = before = apart = 0.0
    for j in range(len(outputs)):
        after += outputs[j]
        before += shares[j]
    scale, scale_before = 1 / after if after > 0 else 0.0, 1 / before if before > 0 else 0.0
    for j in range(len(outputs)):
        apart += abs(scale * outputs[j] - scale_before * shares[j])
    both = (after > 0) + (before > 0)
    return min(1.0, apart / both) if both > 0 else 0.0
