"""Knocking out every gene of every cell, one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from ..._settings import settings
from ._cells import by_prevalence, chunks, fill, inverse, read_cells, rows_of, weighted_sums
from ._downstream import add_downstream
from ._lanes import knock_out_panels
from ._layout import lay_out
from ._panels import Panels, reach_of
from ._parallel import in_parallel
from ._sets import impacts_of
from ._vector import LANES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scipy import sparse

    from ._map import Map

# Bytes per present gene that a scan holds at a time: its sum, and what scipy copies to cut a block out.
_PER_ENTRY = 16


def scan(
    affine: Map,
    presence: sparse.csr_matrix,
    *,
    wanted: np.ndarray | None = None,
    dose: float = 1.0,
    downstream: bool = False,
    advance: Callable[[int], object] = lambda n: None,
) -> np.ndarray:
    """Return the impact of each present gene in each cell, in the order of ``presence.data`` (float32).

    Of a map that predicts profiles from assemblages.

    Parameters
    ----------
    affine
        The fitted map.
    presence
        Cells x genes, CSR with an entry where a gene is present, sorted indices.
    wanted
        Genes to knock out, as a mask; NaN stands at the entries of the others. Default: all.
    dose
        Fraction that is removed, in (0, 1].
    downstream
        Return two rows, impacts and downstream impacts: the same without the knocked-out gene in either profile.
    advance
        Told now and then how many more entries are done.
    """
    order = by_prevalence(presence, wanted)
    n_lanes = len(order) if wanted is None else int(wanted.sum())
    rows = Panels(affine, "rows", order, len(order))
    columns = Panels(affine, "columns", order, n_lanes, affine.intercept)
    found = np.full((1 + downstream, presence.nnz), np.nan, dtype=np.float32)
    for entries, block in row_blocks(presence):
        sums = weighted_sums(block, order, rows)
        part = _Part(affine, block, sums, inverse(order), n_lanes, dose, found[0, entries])
        for first, panels in columns:
            in_parallel(partial(part.knock_out, first, panels, reach_of(panels)), chunks(block))
        if downstream:
            add_downstream(affine, block, sums, wanted, dose, found[1, entries])
        advance(block.nnz if wanted is None else int(np.count_nonzero(wanted[block.indices])))
    return found if downstream else found[0]


def row_blocks(presence: sparse.csr_matrix) -> Iterator[tuple[slice, sparse.csr_matrix]]:
    """Cut cells into blocks that the memory budget has room for; yield the entries of each block, and the block."""
    first, indptr = 0, presence.indptr
    room = max(1, settings.memory_budget // _PER_ENTRY)
    if presence.nnz <= room:
        yield slice(0, presence.nnz), presence
        return
    while first < presence.shape[0]:
        last = max(first + 1, int(np.searchsorted(indptr, int(indptr[first]) + room, side="right")) - 1)
        yield slice(int(indptr[first]), int(indptr[last])), presence[first:last]
        first = last


@dataclass(frozen=True)
class _Part:
    """Cells to scan, and where their impacts go."""

    affine: Map
    presence: sparse.csr_matrix
    sums: np.ndarray
    rank: np.ndarray
    n_lanes: int
    dose: float
    impacts: np.ndarray

    def knock_out(self, first: int, panels: np.ndarray, reach: np.ndarray, rows: slice) -> None:
        """Knock out the genes of some panels, and of that reach, in some of the cells."""
        affine, dose = self.affine, self.dose
        entries, indptr, indices = rows_of(self.presence, rows)
        cells = read_cells(affine, indptr, indices, self.sums[entries])
        base, kinds = _bases(dose, indptr, indices, cells.sums, affine.intercept, self.rank, reach)
        layout = lay_out(indptr, indices, self.rank, self.n_lanes, kinds, n_kinds=3)
        n_lanes = LANES * len(layout.panels)
        known = (indptr, indices, base, kinds, cells.profile, affine.diagonal + affine.intercept)
        base, shares, own, own_share, steady_size, turning_size = _prepare(
            dose, *known, layout.edges[-1], layout.places, layout.lanes, n_lanes
        )
        # One more, for the genes without a lane, whose number is -1.
        impacts = np.full(n_lanes + 1, np.nan, dtype=np.float32)
        knock_out_panels(
            panels,
            first,
            layout.panels,
            layout.cells,
            layout.genes,
            layout.edges,
            base,
            shares,
            steady_size,
            turning_size,
            dose,
            own,
            own_share,
            impacts,
        )
        found = impacts[layout.lanes]
        # Where one gene makes up most of a profile, or a profile is empty, a subtraction would lose digits.
        full = np.add.reduceat(np.append(cells.profile, 0), indptr[:-1]) > 0
        again = np.flatnonzero(found < 0)
        if not full.all():
            again = np.flatnonzero((found < 0) | (~full[cells.row(np.arange(len(found)))] & ~np.isnan(found)))
        row = cells.row(again)
        found[again] = impacts_of(affine, cells, row, (again - indptr[row])[:, None], self.dose)[0]
        # The last digit may say a little more than everything.
        fill(self.impacts[entries], np.minimum(found, 1))


@njit(nogil=True, cache=True, error_model="numpy")
def _bases(
    dose: float,
    indptr: np.ndarray,
    indices: np.ndarray,
    sums: np.ndarray,
    intercept: np.ndarray,
    rank: np.ndarray,
    reach: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return base_j and the kind of each gene: a raw output is base_j - dose panel_jg.

    A profile does not change when all its outputs are multiplied by a number: with n - dose, base_j = s_j + n b_j is
    what it was before the knockout, and the rows of the panels are A_j + b_j.

    Kind 0 stays positive whatever is knocked out, 1 negative, 2 may turn.
    """
    base, kinds = np.empty_like(sums), np.full(len(sums), 2, dtype=np.int8)
    for cell in range(len(indptr) - 1):
        start, stop = indptr[cell], indptr[cell + 1]
        for entry in range(start, stop):
            gene = indices[entry]
            base[entry] = sums[entry] + (stop - start) * intercept[gene]
            if abs(base[entry]) >= np.float32(dose) * reach[rank[gene]]:
                kinds[entry] = 0 if base[entry] >= 0 else 1
    return base, kinds


@njit(nogil=True, cache=True, error_model="numpy")
def _prepare(
    dose: float,
    indptr: np.ndarray,
    indices: np.ndarray,
    base: np.ndarray,
    kinds: np.ndarray,
    profile: np.ndarray,
    diagonal: np.ndarray,
    size: int,
    places: np.ndarray,
    lanes: np.ndarray,
    n_lanes: int,
) -> tuple[np.ndarray, ...]:
    """Return what :func:`dko.models.knockout._lanes.knock_out_panels` needs to know of cells, in its order of genes.

    Base and shares, padded; the gene's own output and share in lanes; and the sum of the outputs of the steady genes
    and of the others.
    """
    padded = np.zeros((2, size), dtype=np.float32)
    own = np.zeros((2, n_lanes + 1), dtype=np.float32)
    sizes = np.zeros((2, len(indptr) - 1), dtype=np.float32)
    for cell in range(len(indptr) - 1):
        steady_size = turning_size = 0.0
        for entry in range(indptr[cell], indptr[cell + 1]):
            raw, place, share = base[entry], places[entry], profile[entry]
            padded[0, place] = raw
            padded[1, place] = -share if kinds[entry] == 1 else share
            if kinds[entry] < 2:
                steady_size += abs(raw)
            else:
                turning_size += abs(raw)
            own[0, lanes[entry]] = abs(raw - np.float32(dose) * diagonal[indices[entry]])
            own[1, lanes[entry]] = share
        sizes[0, cell], sizes[1, cell] = steady_size, turning_size
    return padded[0], padded[1], own[0], own[1], sizes[0], sizes[1]
