"""What knockouts do to every other gene, summed over cells."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from ..._settings import settings
from ._cells import all_cells
from ._parallel import in_parallel, n_threads

if TYPE_CHECKING:
    from scipy import sparse

    from ._cells import Cells
    from ._map import AnyMap


def effect_sums(
    affine: AnyMap,
    presence: sparse.csr_matrix,
    wanted: np.ndarray,
    group: np.ndarray,
    n_groups: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum over cells of the change of log1p(1e4 * profile), and the number of cells in it.

    The knocked-out gene is taken out of both profiles, and both are made to sum to 1 again.

    Parameters
    ----------
    affine, presence
        As in :func:`dko.models.knockout.scan`.
    wanted
        Genes to knock out, each alone.
    group
        Group of each cell; -1 for a cell that does not count.

    Returns
    -------
    float64, groups x wanted genes x genes, 0 at genes that a cell lacks and at the gene itself; and int, groups x
    wanted genes.
    """
    cells = all_cells(affine, presence)
    columns_of = presence.tocsc()
    # The entries in the order of the columns.
    entry_of = np.argsort(presence.indices, kind="stable")
    totals = np.zeros((n_groups, len(wanted), affine.n_genes))
    n_cells = np.zeros((n_groups, len(wanted)), dtype=np.int64)
    room = max(1, settings.memory_budget // (8 * affine.n_genes))
    for first in range(0, len(wanted), room):
        genes = wanted[first : first + room]
        columns = np.ascontiguousarray(affine.columns(genes))

        def work(part: slice, first: int = first, genes: np.ndarray = genes, columns: np.ndarray = columns) -> None:
            add_effects(
                genes[part],
                columns[part],
                columns_of.indptr,
                columns_of.indices,
                entry_of,
                cells,
                group,
                totals[:, first:][:, part],
                n_cells[:, first:][:, part],
            )

        # Threads share no gene, so that no two add to the same sum.
        step = -(-len(genes) // (8 * n_threads()))
        in_parallel(work, [slice(start, start + step) for start in range(0, len(genes), step)])
    return totals, n_cells


@njit(nogil=True, cache=True, error_model="numpy")
def add_effects(
    genes: np.ndarray,
    columns: np.ndarray,
    gene_starts: np.ndarray,
    cells_of: np.ndarray,
    entry_of: np.ndarray,
    cells: Cells,
    group: np.ndarray,
    totals: np.ndarray,
    n_cells: np.ndarray,
) -> None:
    """Add the changes by knocking out each of `genes` in each cell that has it."""
    indptr, indices, profile = cells.indptr, cells.indices, cells.profile
    outputs = np.empty(columns.shape[1])
    for number in range(len(genes)):
        for place in range(gene_starts[genes[number]], gene_starts[genes[number] + 1]):
            cell, own = cells_of[place], entry_of[place]
            if group[cell] < 0:
                continue
            start, stop = indptr[cell], indptr[cell + 1]
            size, after, before = max(stop - start - 1.0, 1e-7), 0.0, 0.0
            for entry in range(start, stop):
                column = columns[number, indices[entry]]
                if entry == own:
                    output = 0.0
                elif cells.observed:
                    output = profile[entry] * math.exp(-column)
                else:
                    output = abs((cells.sums[entry] - column) / size + cells.intercept[indices[entry]])
                outputs[entry - start] = output
                after += output
                before += profile[entry] * (entry != own)
            scale_after = 1e4 / after if after > 0 else 0.0
            scale_before = 1e4 / before if before > 0 else 0.0
            n_cells[group[cell], number] += 1
            for entry in range(start, stop):
                if entry != own:
                    change = math.log((1 + scale_after * outputs[entry - start]) / (1 + scale_before * profile[entry]))
                    totals[group[cell], number, indices[entry]] += change
