"""Knocking out any genes together: some knockouts of some cells, each on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from ..._settings import settings
from ._cells import all_cells
from ._downstream import dissimilarity
from ._parallel import in_parallel

if TYPE_CHECKING:
    from scipy import sparse

    from ._cells import Cells
    from ._map import Map

# Knockouts that one thread takes at a time.
_PIECE = 2048

# Numbers of gathered columns that a thread keeps: four megabytes.
_GATHERED = 2**20


def knock_out(
    affine: Map,
    presence: sparse.csr_matrix,
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
    affine, presence, dose, downstream
        As in :func:`dko.models.knockout.scan`.
    row
        Row of the cell of each knockout, ascending.
    removed
        Its genes, each once, knockouts x genes, as positions among the present genes of the cell; -1 pads.
    after
        Where the profiles after the knockouts are written, float32: any number of rows x entries of `presence`.
    number
        Row of `after` of each knockout.
    """
    cells = all_cells(affine, presence)
    found = impacts_of(affine, cells, row, removed, dose, downstream=downstream, after=after, number=number)
    return found if downstream else found[0]


def impacts_of(
    affine: Map,
    cells: Cells,
    row: np.ndarray,
    removed: np.ndarray,
    dose: float,
    *,
    downstream: bool = False,
    after: np.ndarray | None = None,
    number: np.ndarray | None = None,
) -> np.ndarray:
    """Return impacts and, if wanted, downstream impacts, a row each, in cells that are known; arguments as above."""
    indptr, indices = cells.indptr, cells.indices
    if not len(row):
        return np.empty((1 + downstream, 0), dtype=np.float32)
    genes = np.where(removed >= 0, indices[indptr[row][:, None] + np.maximum(removed, 0)], -1)
    found = np.zeros((1 + downstream, len(row)), dtype=np.float32)
    if after is None or number is None:
        after, number = np.empty((0, 0), dtype=np.float32), np.zeros(len(row), dtype=np.int64)
    # So many knockouts at a time that the columns of all their genes fit into memory.
    room = max(1, settings.memory_budget // (8 * affine.n_genes))
    step = len(row) if room >= affine.n_genes else max(1, room // removed.shape[1])
    for first in range(0, len(row), step):
        part = slice(first, first + step)
        wanted, local = np.unique(genes[part], return_inverse=True)
        some = (row[part], removed[part], local.reshape(removed[part].shape) - (wanted[0] < 0), number[part])
        columns = np.ascontiguousarray(affine.columns(wanted[wanted >= 0]))

        def work(start: int, columns: np.ndarray = columns, some: tuple = some, part: slice = part) -> None:
            piece = slice(start, start + _PIECE)
            knock_out_each(
                columns,
                cells,
                *(array[piece] for array in some),
                np.float32(dose),
                found[:, part][:, piece],
                after,
            )

        in_parallel(work, range(0, len(some[0]), _PIECE))
    return found


# The order of a sum is free, and no value is NaN or infinite.
@njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "arcp", "nsz", "nnan", "ninf"})
def knock_out_each(
    columns: np.ndarray,
    cells: Cells,
    row: np.ndarray,
    removed: np.ndarray,
    local: np.ndarray,
    number: np.ndarray,
    dose: np.float32,
    found: np.ndarray,
    after: np.ndarray,
) -> None:
    """Write impacts, downstream impacts where `found` has two rows, and profiles where `after` has rows for them.

    `local` is the row of `columns` of each gene.
    """
    indptr, indices, sums, profile = cells.indptr, cells.indices, cells.sums, cells.profile
    longest = 0
    for cell in row:
        longest = max(longest, indptr[cell + 1] - indptr[cell])
    outputs, shares = np.empty(longest, dtype=np.float32), np.empty(longest, dtype=np.float32)
    # Columns at the present genes of the cell at hand, each gathered once, however many knockouts share it.
    kept = np.empty((min(len(columns), max(1, _GATHERED // max(1, longest))), longest), dtype=np.float32)
    slot_of, gene_in = np.full(len(columns), -1), np.full(len(kept), -1)
    n_kept, last = 0, -1
    for knockout in range(len(row)):
        cell = row[knockout]
        start, n = indptr[cell], indptr[cell + 1] - indptr[cell]
        if cell != last:
            slot_of[gene_in[: min(n_kept, len(kept))]] = -1
            n_kept, last = 0, cell
        size = np.float32(n)
        for gene in local[knockout]:
            size -= dose * (gene >= 0)
        scale = np.float32(1) / max(size, np.float32(1.2e-7))
        outputs[:n] = sums[start : start + n]
        for gene in local[knockout]:
            if gene < 0:
                continue
            if slot_of[gene] < 0:
                slot = n_kept % len(kept)
                if n_kept >= len(kept):
                    slot_of[gene_in[slot]] = -1
                slot_of[gene], gene_in[slot] = slot, gene
                n_kept += 1
                for j in range(n):
                    kept[slot, j] = columns[gene, indices[start + j]]
            column = kept[slot_of[gene]]
            for j in range(n):
                outputs[j] -= dose * column[j]
        for j in range(n):
            outputs[j] = abs(outputs[j] * scale + cells.intercept[indices[start + j]])
        for position in removed[knockout]:
            if position >= 0:
                outputs[position] *= np.float32(1) - dose
        total = before = np.float32(0)
        for j in range(n):
            total += outputs[j]
            before += profile[start + j]
        factor = np.float32(1) / total if total > 0 else np.float32(0)
        apart = np.float32(0)
        for j in range(n):
            outputs[j] *= factor
            apart += abs(outputs[j] - profile[start + j])
        both = before + (total > 0)
        found[0, knockout] = min(apart / both, np.float32(1)) if both > 0 else np.float32(0)
        if len(after):
            after[number[knockout], start : start + n] = outputs[:n]
        if len(found) < 2:
            continue
        shares[:n] = profile[start : start + n]
        for position in removed[knockout]:
            if position >= 0:
                outputs[position] = shares[position] = np.float32(0)
        found[1, knockout] = dissimilarity(outputs[:n], shares[:n])
