"""Knocking out any genes together in observed cells, with a map of factors."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

from ..._settings import settings
from ._cells import all_cells
from ._factor_scan import compare
from ._factors import BOUND
from ._parallel import in_parallel

if TYPE_CHECKING:
    from scipy import sparse

    from ._cells import Cells
    from ._factors import FactorMap

# Knockouts that one thread takes at a time.
_PIECE = 2048


class Sets(NamedTuple):
    """Some knockouts, one row each.

    Attributes
    ----------
    row
        Cell.
    removed
        Genes, as positions among those of the cell, -1 pads.
    local
        Genes, as rows of `columns`.
    weights
        How much each counts.
    columns
        By how much the log of every share falls without some genes, genes x all genes.
    """

    row: np.ndarray
    removed: np.ndarray
    local: np.ndarray
    weights: np.ndarray
    columns: np.ndarray


def knock_out(
    factors: FactorMap,
    profiles: sparse.csr_matrix,
    row: np.ndarray,
    removed: np.ndarray,
    *,
    dose: float = 1.0,
    downstream: bool = False,
    after: np.ndarray | None = None,
    number: np.ndarray | None = None,
) -> np.ndarray:
    """Return the impact of each knockout of any genes together (float32).

    Parameters
    ----------
    factors, profiles, dose, downstream
        As in :func:`dko.models.knockout._factor_scan.scan`.
    row, removed, after, number
        As in :func:`dko.models.knockout.knock_out`.
    """
    cells = all_cells(factors, profiles)
    found = np.zeros((2, len(row)), dtype=np.float32)
    if after is None or number is None:
        after, number = np.empty((0, 0), dtype=np.float32), np.zeros(len(row), dtype=np.int64)
    genes = np.where(removed >= 0, cells.indices[cells.indptr[row][:, None] + np.maximum(removed, 0)], -1)
    # So many knockouts at a time that the columns of all their genes fit into memory.
    room = settings.memory_budget // (4 * factors.n_genes)
    step = max(1, len(row) if room >= factors.n_genes else room // removed.shape[1])
    for first in range(0, len(row), step):
        part = slice(first, first + step)
        some, local = np.unique(genes[part], return_inverse=True)
        local = local.reshape(genes[part].shape) - int(some[0] < 0)
        columns = np.ascontiguousarray(factors.columns(some[some >= 0]))

        def work(start: int, part: slice = part, local: np.ndarray = local, columns: np.ndarray = columns) -> None:
            piece = slice(start, start + _PIECE)
            weights = dose * factors.weights(genes[part][piece])
            sets = Sets(row[part][piece], removed[part][piece], local[piece], weights, columns)
            knock_out_sets(cells, sets, float(dose), found[:, part][:, piece], after, number[part][piece])

        in_parallel(work, range(0, len(local), _PIECE))
    return found if downstream else found[0]


@njit(nogil=True, cache=True, error_model="numpy")
def knock_out_sets(
    cells: Cells, sets: Sets, dose: float, found: np.ndarray, after: np.ndarray, number: np.ndarray
) -> None:
    """Write impacts and downstream impacts, and profiles where `after` has rows for them."""
    longest = 0
    for cell in sets.row:
        longest = max(longest, cells.indptr[cell + 1] - cells.indptr[cell])
    change, is_out = np.empty(longest), np.zeros(longest, dtype=np.bool_)
    for knockout in range(len(sets.row)):
        start, stop = cells.indptr[sets.row[knockout]], cells.indptr[sets.row[knockout] + 1]
        indices, n = cells.indices[start:stop], stop - start
        change[:n], is_out[:n] = 0, False
        for k in range(sets.removed.shape[1]):
            if sets.removed[knockout, k] < 0:
                continue
            is_out[sets.removed[knockout, k]] = True
            column, weight = sets.columns[sets.local[knockout, k]], sets.weights[knockout, k]
            for j in range(n):
                change[j] -= weight * column[indices[j]]
        for j in range(n):
            change[j] = max(-BOUND * dose, min(BOUND * dose, change[j]))
        impact, impact_others = compare(cells.profile[start:stop], change[:n], is_out[:n], dose)
        # The last digit may say a little more than everything.
        found[0, knockout], found[1, knockout] = min(1.0, impact), min(1.0, impact_others)
        if len(after):
            after[number[knockout], start:stop] = change[:n]
