"""Tables of what single knockouts do to every gene, read as a whole or gathered, whichever is less work."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

from ..._settings import settings
from ._cells import by_prevalence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scipy import sparse

# A table whose genes many cells have is read as a whole, and is to stay in the cache: so many columns, and numbers, at
# most. Of other genes, so many knockouts and numbers are gathered at a time.
_OFTEN, _COLUMNS, _NUMBERS = 0.2, 64, 2**18
_WIDTH, _TILE = 128, 2**15


class Table(NamedTuple):
    """What some knockouts do.

    Attributes
    ----------
    values
        float32, all genes x knockouts.
    column
        Column of `values` of each gene, -1 where it is not knocked out.
    whole
        Whether to go over all columns in every cell, those of absent genes too: many cells have each, and nothing has
        to be gathered.
    """

    values: np.ndarray
    column: np.ndarray
    whole: bool


class Knockouts(NamedTuple):
    """Knockouts of one cell at a time, and their values at its present genes: room that is used again and again.

    Attributes
    ----------
    place, column
        Of each knockout: which of the present genes it is, and its column of the table.
    lane_of
        Of each present gene: its lane among the knockouts at hand, -1 for others.
    row_of
        Of each present gene: its row of the values.
    tile
        Gathered values, present genes x knockouts.
    """

    place: np.ndarray
    column: np.ndarray
    lane_of: np.ndarray
    row_of: np.ndarray
    tile: np.ndarray


def tables_of(
    make: Callable[[np.ndarray], np.ndarray], presence: sparse.csr_matrix, wanted: np.ndarray | None
) -> Iterator[Table]:
    """Yield tables that fit into memory, `make` of some genes, until all that are wanted were there."""
    n_cells, n_genes = presence.shape
    often = np.bincount(presence.indices, minlength=n_genes) / max(1, n_cells)
    genes = by_prevalence(presence, wanted)[: n_genes if wanted is None else int(wanted.sum())]
    most, first = max(1, settings.memory_budget // (4 * n_genes)), 0
    columns = min(most, max(16, min(_COLUMNS, _NUMBERS // n_genes // 16 * 16)))
    while first < len(genes):
        some = genes[first : first + columns]
        if not (whole := bool(often[some].mean() >= _OFTEN)):
            # In the order in which cells have them: what is gathered lies side by side.
            some = np.sort(genes[first : first + most])
        column = np.full(n_genes, -1)
        column[some] = np.arange(len(some))
        yield Table(make(some), column, whole)
        first += len(some)


@njit(nogil=True, cache=True)
def room_for(table: Table, longest: int) -> Knockouts:
    """Return room for cells of up to `longest` genes; a tile has as many columns as there are knockouts at a time."""
    most = table.values.shape[1] if table.whole else max(16, min(_WIDTH, _TILE // longest))
    return Knockouts(
        np.empty(longest, dtype=np.int64),
        np.empty(longest, dtype=np.uint32),
        np.full(longest, -1),
        np.arange(longest),
        np.empty((0 if table.whole else longest, most), dtype=np.float32),
    )


@njit(nogil=True, cache=True)
def find_knockouts(table: Table, indices: np.ndarray, room: Knockouts) -> int:
    """Find the knockouts of one cell; return how many there are."""
    n_out = 0
    for j in range(len(indices)):
        if table.column[indices[j]] >= 0:
            room.place[n_out], room.column[n_out] = j, table.column[indices[j]]
            n_out += 1
    return n_out


@njit(nogil=True, cache=True)
def take(table: Table, indices: np.ndarray, begin: int, end: int, room: Knockouts) -> tuple[np.ndarray, int]:
    """Return values and how many of their columns to go over for the knockouts from `begin` to `end` of a cell."""
    for i in range(begin, end):
        room.lane_of[room.place[i]] = room.column[i] if table.whole else i - begin
    if table.whole:
        room.row_of[: len(indices)] = indices
        return table.values, table.values.shape[1]
    width, some = end - begin, room.column[begin:end]
    for j in range(len(indices)):
        row = table.values[indices[j]]
        for k in range(width):
            room.tile[j, k] = row[some[k]]
    return room.tile, width
