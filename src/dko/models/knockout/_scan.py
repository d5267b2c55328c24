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
from ._layout import lay_out
from ._links import LINKS, apply_link, level_of
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
    rows = Panels(affine, "rows", order, len(order))
    columns = Panels(affine, "columns", order, n_lanes, affine.intercept if _folded(affine) else None)
    impacts = np.full(presence.nnz, np.nan, dtype=np.float32)
    for entries, block in row_blocks(presence):
        sums = weighted_sums(block, order, rows)
        special = None if residual is None else residual[entries]
        part = _Part(affine, block, sums, special, inverse(order), n_lanes, dose, impacts[entries])
        for first, panels in columns:
            in_parallel(partial(part.knock_out, first, panels, reach_of(panels)), chunks(block))
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


def _folded(affine: Map) -> bool:
    """Whether the panels hold A_j + b_j instead of A_j, see `_bases`."""
    return affine.link == "abs" and affine.divisor == 0


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

    def knock_out(self, first: int, panels: np.ndarray, reach: np.ndarray, rows: slice) -> None:
        """Knock out the genes of some panels, and of that reach, in some of the cells."""
        affine, link = self.affine, LINKS.index(self.affine.link)
        entries, indptr, indices = rows_of(self.presence, rows)
        residual = None if self.residual is None else self.residual[entries]
        cells = read_cells(affine, indptr, indices, self.sums[entries], residual)
        base, slope, kinds = _bases(
            link, float(affine.divisor), self.dose, indptr, indices, cells.sums, affine.intercept, self.rank, reach
        )
        layout = lay_out(indptr, indices, self.rank, self.n_lanes, kinds, n_kinds=3)
        n_lanes = LANES * len(layout.panels)
        diagonal = affine.diagonal + (affine.intercept if _folded(affine) else 0)
        known = (indptr, indices, base, slope, kinds, cells.weights, cells.profile, diagonal)
        base, weights, shares, own, own_share, steady_size, turning_size = _prepare(
            link, *known, layout.edges[-1], layout.places, layout.lanes, n_lanes
        )
        # One more, for the genes without a lane, whose number is -1.
        impacts = np.full(n_lanes + 1, np.nan, dtype=np.float32)
        knock_out_panels(
            link,
            residual is not None,
            panels,
            first,
            layout.panels,
            layout.cells,
            layout.genes,
            layout.edges,
            base,
            weights,
            shares,
            slope,
            steady_size,
            turning_size,
            self.dose,
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
        found[again] = impacts_of(affine, cells, row, (again - indptr[row])[:, None], self.dose)
        # The last digit may say a little more than everything.
        fill(self.impacts[entries], np.minimum(found, 1))


@njit(nogil=True, cache=True, error_model="numpy")
def _bases(
    link: int,
    divisor: float,
    dose: float,
    indptr: np.ndarray,
    indices: np.ndarray,
    sums: np.ndarray,
    intercept: np.ndarray,
    rank: np.ndarray,
    reach: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return base_j, the slope of each cell, and the kind of each gene: a raw output is base_j - slope panel_jg.

    A profile does not change when all its outputs are multiplied by a number. With n - dose, for the link ``"abs"``,
    base_j = s_j + n b_j is what it was before the knockout, and the rows of the panels are A_j + b_j. With a divisor of
    the map's own, base_j = s_j + divisor b_j, and they are A_j.

    Kind 0 stays positive whatever is knocked out, 1 negative, 2 may turn.
    """
    base, kinds = np.empty_like(sums), np.full(len(sums), 2, dtype=np.int8)
    slope = np.empty(len(indptr) - 1, dtype=np.float32)
    for cell in range(len(slope)):
        start, stop = indptr[cell], indptr[cell + 1]
        if link == 0:
            slope[cell] = dose
            for entry in range(start, stop):
                gene = indices[entry]
                base[entry] = sums[entry] + (divisor if divisor > 0 else stop - start) * intercept[gene]
                if abs(base[entry]) >= slope[cell] * reach[rank[gene]]:
                    kinds[entry] = 0 if base[entry] >= 0 else 1
            continue
        remaining = divisor if divisor > 0 else stop - start - dose
        # Of a cell of which nothing remains the outputs do not matter, only that they are numbers.
        per_gene = np.float32(1 / remaining) if remaining > 0 else np.float32(0)
        slope[cell] = np.float32(dose) * per_gene
        level = level_of(link, start, stop, indices, sums, per_gene, intercept)
        for entry in range(start, stop):
            base[entry] = sums[entry] * per_gene + intercept[indices[entry]] - level
    return base, slope, kinds


@njit(nogil=True, cache=True, error_model="numpy")
def _prepare(
    link: int,
    indptr: np.ndarray,
    indices: np.ndarray,
    base: np.ndarray,
    slope: np.ndarray,
    kinds: np.ndarray,
    weights: np.ndarray,
    profile: np.ndarray,
    diagonal: np.ndarray,
    size: int,
    places: np.ndarray,
    lanes: np.ndarray,
    n_lanes: int,
) -> tuple[np.ndarray, ...]:
    """Return what :func:`dko.models.knockout._lanes.knock_out_panels` needs to know of cells, in its order of genes.

    Base, weights and shares, padded; the gene's own output and share in lanes; and the sum of the outputs of the steady
    genes and of the others.
    """
    padded = np.zeros((3, size), dtype=np.float32)
    own = np.zeros((2, n_lanes + 1), dtype=np.float32)
    sizes = np.zeros((2, len(slope)), dtype=np.float32)
    for cell in range(len(slope)):
        steady_size = turning_size = 0.0
        for entry in range(indptr[cell], indptr[cell + 1]):
            raw, place, weight, share = base[entry], places[entry], weights[entry], profile[entry]
            padded[0, place], padded[1, place] = raw, weight
            padded[2, place] = -share if kinds[entry] == 1 else share
            if kinds[entry] < 2:
                steady_size += abs(raw) * weight
            else:
                turning_size += apply_link(link, raw) * weight
            own[0, lanes[entry]] = apply_link(link, raw - slope[cell] * diagonal[indices[entry]]) * weight
            own[1, lanes[entry]] = share
        sizes[0, cell], sizes[1, cell] = steady_size, turning_size
    return padded[0], padded[1], padded[2], own[0], own[1], sizes[0], sizes[1]
