"""Downstream impacts of a map that predicts profiles: what a knockout does to the other genes alone."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

from ..._settings import settings
from ._cells import chunks, read_cells
from ._parallel import in_parallel

if TYPE_CHECKING:
    from scipy import sparse

    from ._cells import Cells
    from ._map import Map

# Knockouts of a cell that are worked on at a time, at most, and numbers of the table of their outputs.
_WIDTH, _TILE = 128, 2**15


class Columns(NamedTuple):
    """What some knockouts take away.

    Attributes
    ----------
    table
        Columns of the map, float32, genes x knockouts.
    column
        Column of `table` of each gene, -1 where it is not knocked out.
    """

    table: np.ndarray
    column: np.ndarray


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
    genes = np.arange(affine.n_genes) if wanted is None else np.flatnonzero(wanted)
    step = max(1, settings.memory_budget // (8 * affine.n_genes))
    for first in range(0, len(genes), step):
        some = genes[first : first + step]
        column = np.full(affine.n_genes, -1)
        column[some] = np.arange(len(some))
        known = Columns(np.ascontiguousarray(affine.columns(some).T), column)
        in_parallel(partial(_of_rows, cells, known, float(dose), found), chunks(presence))


def _of_rows(cells: Cells, known: Columns, dose: float, found: np.ndarray, rows: slice) -> None:
    knock_out_genes(cells, known, dose, rows.start, rows.stop, found)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def knock_out_genes(cells: Cells, known: Columns, dose: float, first: int, last: int, found: np.ndarray) -> None:
    """Write the downstream impacts of the cells from `first` to `last`."""
    longest = 1
    for cell in range(first, last):
        longest = max(longest, cells.indptr[cell + 1] - cells.indptr[cell])
    most = max(16, min(_WIDTH, _TILE // longest))
    tile = np.empty((longest, most), dtype=np.float32)
    after, apart, scale, before = np.empty((4, most), dtype=np.float32)
    place, column = np.empty(longest + 1, dtype=np.int64), np.empty(longest, dtype=np.uint32)
    for cell in range(first, last):
        start, stop = cells.indptr[cell], cells.indptr[cell + 1]
        indices, profile, sums = cells.indices[start:stop], cells.profile[start:stop], cells.sums[start:stop]
        n, n_out, total = stop - start, 0, 0.0
        for j in range(n):
            total += profile[j]
            if known.column[indices[j]] >= 0:
                place[n_out], column[n_out] = j, known.column[indices[j]]
                n_out += 1
        slope = np.float32(dose)
        for begin in range(0, n_out, most):
            width = min(most, n_out - begin)
            some = column[begin : begin + width]
            after[:width], apart[:width] = 0, 0
            next_out = 0
            for j in range(n):
                itself, row = next_out, known.table[indices[j]]
                # Outputs on the scale that a profile does not depend on, times the number of genes that are left.
                base = sums[j] + np.float32(n - dose) * cells.intercept[indices[j]]
                for k in range(width):
                    tile[j, k] = abs(base - slope * row[some[k]])
                if itself < width and place[begin + itself] == j:
                    tile[j, itself] = 0
                    next_out += 1
                for k in range(width):
                    after[k] += tile[j, k]
            for k in range(width):
                rest = total - profile[place[begin + k]]
                scale[k] = 1 / after[k] if after[k] > 0 else 0.0
                before[k] = 1 / rest if rest > 1e-7 * total else 0.0
            next_out = 0
            for j in range(n):
                itself = next_out
                is_out = itself < width and place[begin + itself] == j
                kept = apart[itself % width]
                for k in range(width):
                    apart[k] += abs(scale[k] * tile[j, k] - before[k] * profile[j])
                if is_out:
                    apart[itself] = kept
                    next_out += 1
            for k in range(width):
                both = (after[k] > 0) + (before[k] > 0)
                found[start + place[begin + k]] = min(1.0, apart[k] / both) if both > 0 else 0.0


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
