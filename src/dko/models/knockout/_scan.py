"""Knocking out every gene of every cell, one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from ..._settings import settings
from ._cells import by_prevalence, check_residual, chunks, fill, inverse, read_cells, rows_of, weighted_sums
from ._lanes import knock_out_panels
from ._layout import Panels, lay_out
from ._links import LINKS, apply_link, level_of
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
    residual: np.ndarray | None = None,
    dose: float = 1.0,
    advance: Callable[[int], object] = lambda n: None,
) -> np.ndarray:
    """Return the impact of each present gene in each cell, in the order of ``presence.data`` (float32).

    Parameters
    ----------
    affine
        The fitted map.
    presence
        Cells x genes, CSR with an entry where a gene is present, sorted indices.
    wanted
        Genes to knock out, as a mask; NaN stands at the entries of the others. Default: all.
    residual
        What the outputs are multiplied by, one per entry of `presence`: observed over predicted profile keeps what is
        special about each cell. Default: 1.
    dose
        Fraction that is removed, in (0, 1].
    advance
        Told now and then how many more entries are done.
    """
    check_residual(residual, presence)
    order = by_prevalence(presence, wanted)
    n_lanes = len(order) if wanted is None else int(wanted.sum())
    rows, columns = Panels(affine, "rows", order, len(order)), Panels(affine, "columns", order, n_lanes)
    impacts = np.full(presence.nnz, np.nan, dtype=np.float32)
    for entries, block in row_blocks(presence):
        sums = weighted_sums(block, order, rows)
        special = None if residual is None else residual[entries]
        part = _Part(affine, block, sums, special, inverse(order), n_lanes, dose, impacts[entries])
        for first, panels in columns:
            in_parallel(partial(part.knock_out, first, panels), chunks(block))
        advance(block.nnz if wanted is None else int(np.count_nonzero(wanted[block.indices])))
    return impacts


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
    residual: np.ndarray | None
    rank: np.ndarray
    n_lanes: int
    dose: float
    impacts: np.ndarray

    def knock_out(self, first: int, panels: np.ndarray, rows: slice) -> None:
        """Knock out the genes of some panels in some of the cells."""
        affine = self.affine
        entries, indptr, indices = rows_of(self.presence, rows)
        residual = None if self.residual is None else self.residual[entries]
        cells = read_cells(affine, indptr, indices, self.sums[entries], residual)
        layout = lay_out(indptr, indices, self.rank, self.n_lanes)
        link, n_lanes = LINKS.index(affine.link), LANES * len(layout.panels)
        known = (indptr, indices, cells.sums, cells.weights, cells.profile, affine.intercept, affine.diagonal)
        base, weights, profile, slope, own, own_profile = _prepare(
            link, self.dose, *known, layout.starts, layout.lanes, n_lanes
        )
        # One more, for the genes without a lane, whose number is -1.
        impacts = np.full(n_lanes + 1, np.nan, dtype=np.float32)
        knock_out_panels(
            link,
            residual is not None,
            panels,
            first,
            layout.genes,
            layout.starts,
            base,
            weights,
            profile,
            slope,
            np.float32(1 - self.dose),
            layout.panels,
            layout.cells,
            own,
            own_profile,
            impacts,
        )
        found = impacts[layout.lanes]
        # Where one gene makes up most of a profile, or a profile is empty, a subtraction would lose digits.
        full = np.add.reduceat(np.append(cells.profile, 0), indptr[:-1]) > 0
        again = np.flatnonzero(found < 0)
        if not full.all():
            again = np.flatnonzero((found < 0) | (~full[cells.row(np.arange(len(found)))] & ~np.isnan(found)))
        row = cells.row(again)
        found[again] = impacts_of(affine, cells, row, (again - indptr[row])[:, None], self.dose)
        # The last digit may say a little more than everything.
        fill(self.impacts[entries], np.minimum(found, 1))


@njit(nogil=True, cache=True, error_model="numpy")
def _prepare(
    link: int,
    dose: float,
    indptr: np.ndarray,
    indices: np.ndarray,
    sums: np.ndarray,
    weights: np.ndarray,
    profile: np.ndarray,
    intercept: np.ndarray,
    diagonal: np.ndarray,
    starts: np.ndarray,
    lanes: np.ndarray,
    n_lanes: int,
) -> tuple[np.ndarray, ...]:
    """Return base, weights and profile, padded; the slope of each cell; the gene's own output and profile in lanes."""
    padded = np.zeros((3, starts[-1]), dtype=np.float32)
    slope = np.empty(len(starts) - 1, dtype=np.float32)
    own = np.zeros((2, n_lanes + 1), dtype=np.float32)
    for cell in range(len(starts) - 1):
        remaining = indptr[cell + 1] - indptr[cell] - dose
        # Of a cell of which nothing remains the outputs do not matter, only that they are numbers.
        per_gene = np.float32(1 / remaining) if remaining > 0 else np.float32(0)
        slope[cell] = np.float32(dose) * per_gene
        level = level_of(link, indptr[cell], indptr[cell + 1], indices, sums, per_gene, intercept)
        for entry in range(indptr[cell], indptr[cell + 1]):
            gene, place = indices[entry], starts[cell] + entry - indptr[cell]
            base = sums[entry] * per_gene + intercept[gene] - level
            padded[0, place], padded[1, place], padded[2, place] = base, weights[entry], profile[entry]
            own[0, lanes[entry]] = apply_link(link, base - slope[cell] * diagonal[gene]) * weights[entry]
            own[1, lanes[entry]] = profile[entry]
    return padded[0], padded[1], padded[2], slope, own[0], own[1]
