"""Cells before any knockout: the weighted sums that every knockout subtracts from, and their predicted profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

from ._factors import FactorMap
from ._lanes import sum_panels
from ._layout import lay_out
from ._panels import Panels
from ._parallel import in_parallel, n_threads
from ._vector import LANES

if TYPE_CHECKING:
    from scipy import sparse

    from ._map import AnyMap, Map

# Entries that are counted at a time.
_COUNTED = 2**16

# Cells, and present genes, that one thread takes at a time: enough to use each panel of the map many times while it is
# in the cache, few enough that what is known of the cells stays there too.
_CHUNK, _CHUNK_ENTRIES = 256, 49_152


class Cells(NamedTuple):
    """What is known of some cells before a knockout; float32, one per present gene unless said otherwise.

    Attributes
    ----------
    indptr, indices
        The present genes, as in a CSR matrix; int64 and as they come.
    profile
        Profile before a knockout: predicted, all 0 in a cell whose outputs are; or observed, with a map of factors.
    sums, intercept
        s = A z; and b, of all genes. Both are empty with a map of factors.
    observed
        Whether the map is one of factors.
    """

    indptr: np.ndarray
    indices: np.ndarray
    profile: np.ndarray
    sums: np.ndarray
    intercept: np.ndarray
    observed: bool = False

    def row(self, entries: np.ndarray) -> np.ndarray:
        """Return the cells of some entries."""
        return np.searchsorted(self.indptr, entries, side="right") - 1


def read_cells(affine: Map, indptr: np.ndarray, indices: np.ndarray, sums: np.ndarray) -> Cells:
    """Predict the profiles of cells from their weighted sums."""
    profile = _profiles(indptr, indices, sums, affine.intercept)
    return Cells(indptr, indices, profile, sums, affine.intercept)


@njit(nogil=True, cache=True, error_model="numpy")
def _profiles(indptr: np.ndarray, indices: np.ndarray, sums: np.ndarray, intercept: np.ndarray) -> np.ndarray:
    profile = np.empty(len(sums), dtype=np.float32)
    for cell in range(len(indptr) - 1):
        start, stop = indptr[cell], indptr[cell + 1]
        per_gene, total = np.float32(1) / np.float32(stop - start), 0.0
        for entry in range(start, stop):
            output = abs(sums[entry] * per_gene + intercept[indices[entry]])
            profile[entry] = output
            total += output
        share = np.float32(1 / total) if total > 0 else np.float32(0)
        for entry in range(start, stop):
            profile[entry] *= share
    return profile


def all_cells(affine: AnyMap, presence: sparse.csr_matrix) -> Cells:
    """Compute what is known of the cells of a CSR matrix: ones, or observed profiles for a map of factors."""
    indptr, indices = presence.indptr.astype(np.int64), presence.indices
    if isinstance(affine, FactorMap):
        none = np.empty(0, dtype=np.float32)
        return Cells(indptr, indices, presence.data.astype(np.float32, copy=False), none, none, observed=True)
    order = by_prevalence(presence)
    sums = weighted_sums(presence, order, Panels(affine, "rows", order, len(order)))
    return read_cells(affine, indptr, indices, sums)


def chunks(presence: sparse.csr_matrix) -> list[slice]:
    """Cut cells into pieces, several for each thread."""
    n_cells = presence.shape[0]
    fitting = min(_CHUNK, _CHUNK_ENTRIES * n_cells // max(1, presence.nnz))
    step = max(1, min(fitting, -(-n_cells // (4 * n_threads()))))
    return [slice(first, min(first + step, n_cells)) for first in range(0, n_cells, step)]


def rows_of(matrix: sparse.csr_matrix, rows: slice) -> tuple[slice, np.ndarray, np.ndarray]:
    """Return which entries of a CSR matrix belong to some rows, and the indptr and indices of these."""
    indptr = matrix.indptr[rows.start : rows.stop + 1]
    entries = slice(int(indptr[0]), int(indptr[-1]))
    return entries, (indptr - indptr[0]).astype(np.int64), matrix.indices[entries]


def by_prevalence(presence: sparse.csr_matrix, first: np.ndarray | None = None) -> np.ndarray:
    """Return the genes, those of the mask `first` before the others, those that most cells have before rarer ones.

    Genes that many cells have stand side by side then, and few lanes go to waste.
    """
    n_cells = np.zeros(presence.shape[1], dtype=np.int64)
    # Piece by piece, as numpy counts in a copy of eight bytes per entry.
    for start in range(0, presence.nnz, _COUNTED):
        n_cells += np.bincount(presence.indices[start : start + _COUNTED], minlength=len(n_cells))
    return np.lexsort([-n_cells] if first is None else [-n_cells, ~first])


def inverse(order: np.ndarray) -> np.ndarray:
    """Return the rank of each element of a permutation."""
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order))
    return rank


def weighted_sums(presence: sparse.csr_matrix, order: np.ndarray, rows: Panels) -> np.ndarray:
    """Return s = A z at the present genes, float32, in the order of ``presence.data``."""
    sums = np.empty(presence.nnz, dtype=np.float32)
    rank = inverse(order)
    for first, panels in rows:

        def work(cells: slice, first: int = first, panels: np.ndarray = panels) -> None:
            entries, indptr, indices = rows_of(presence, cells)
            layout = lay_out(indptr, indices, rank, len(rank))
            found = np.full(LANES * len(layout.panels) + 1, np.nan, dtype=np.float32)
            sum_panels(panels, first, layout.genes, layout.edges, layout.panels, layout.cells, found)
            fill(sums[entries], found[layout.lanes])

        in_parallel(work, chunks(presence))
    return sums


def fill(target: np.ndarray, found: np.ndarray) -> None:
    """Write what was found into `target`; NaN was not."""
    np.copyto(target, found, where=~np.isnan(found))
