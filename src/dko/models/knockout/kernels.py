"""Knocking out every gene of every cell, one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

from ..._settings import settings
from .._parallel import in_parallel, n_threads
from .maps import all_cells
from .sets import knock_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from scipy import sparse

    from .maps import AnyMap, Cells

# Sums are made of float32 in vectors, in any order, so that the compiler makes some dozens of them side by side.
_FREE = {"reassoc", "contract", "arcp", "nsz"}
# Genes that this share of cells have are read whether a cell has them or not, side by side; others are gathered one by
# one, which takes about eight times as long.
_COMMON = 1 / 8
# Numbers that one thread works on at a time, and cells: what stays in its cache.
_NUMBERS, _CELLS = 2**17, 256


class Table(NamedTuple):
    """What the loss of some genes does to all. Genes go by rank: the most common one is 0."""

    genes: np.ndarray  # that are lost
    values: np.ndarray  # what each does, genes x all genes
    rank: np.ndarray  # of each gene
    n_common: int  # how many genes are common


class Slots(NamedTuple):
    """Some cells as the loops read them: common genes, present or not, and behind them the other present ones."""

    start: np.ndarray  # where the slots of each cell begin
    gene: np.ndarray  # rank of the gene of each slot that is not a common one
    share: np.ndarray  # profile; 0 where a gene is absent
    level: np.ndarray  # of a map that predicts: |level - A_jg| is the output without gene g; infinite where absent
    place: np.ndarray  # slot of each present gene
    by_gene: np.ndarray  # present genes of all cells, in the order of the ranks
    first: np.ndarray  # where each rank begins there
    cell: np.ndarray  # cell of each of these


def scan(
    affine: AnyMap,
    presence: sparse.csr_matrix,
    *,
    wanted: np.ndarray | None = None,
    downstream: bool = False,
    advance: Callable[[int], object] = lambda n: None,
) -> np.ndarray:
    """Return the impact of each present gene in each cell, one row, with `downstream` impacts two, float32.

    Columns are in the order of ``presence.data``, CSR with sorted indices, ones or, for a map of factors, observed
    profiles; `wanted`: mask of genes to knock out, NaN at others; `advance` is called with the number of entries that
    have been computed since the last call.
    """
    cells = all_cells(affine, presence)
    found = np.full((1 + downstream, presence.nnz), np.nan, dtype=np.float32)
    n_cells, n_genes = presence.shape
    seen = np.bincount(presence.indices, minlength=n_genes)
    order = np.argsort(-seen, kind="stable")
    rank = np.argsort(order).astype(np.int32)
    n_common = int(np.count_nonzero(seen >= max(1, _COMMON * n_cells)))
    lost = np.arange(n_genes) if wanted is None else np.flatnonzero(wanted[order])
    room = max(1, settings.memory_budget // (8 * n_genes))
    per_cell = n_common + seen[order[n_common:]].sum() / max(1, n_cells)
    step = int(min(_CELLS, max(1, _NUMBERS // max(1, per_cell)), max(1, n_cells // (4 * n_threads()))))
    for first in range(0, len(lost), room):
        some = lost[first : first + room]
        values = np.ascontiguousarray(affine.table(order[some])[:, order])
        table = Table(some, values, rank, n_common)

        def work(start: int, table: Table = table) -> int:
            return int(scan_cells(cells, table, start, min(start + step, n_cells), found))

        in_parallel(work, range(0, n_cells, step), advance)
    again = np.flatnonzero(found[0] < 0)
    row = np.searchsorted(cells.indptr, again, side="right") - 1
    found[:, again] = knock_out(affine, cells, row, (again - cells.indptr[row])[:, None])[: len(found)]
    return found


@njit(nogil=True, cache=True, error_model="numpy")
def lay_out(cells: Cells, table: Table, first: int, last: int) -> Slots:
    """Lay out the cells from `first` to `last`."""
    begin, end = cells.indptr[first], cells.indptr[last]
    start, by_rank = np.zeros(last - first + 1, dtype=np.int64), np.zeros(len(table.rank) + 1, dtype=np.int64)
    for cell in range(first, last):
        size = table.n_common
        for entry in range(cells.indptr[cell], cells.indptr[cell + 1]):
            rank = table.rank[cells.indices[entry]]
            size += rank >= table.n_common
            by_rank[rank + 1] += 1
        start[cell - first + 1] = start[cell - first] + (size + 63) // 64 * 64
    by_rank = np.cumsum(by_rank)
    # Arrays by themselves: numba takes rows of a larger one for scattered, and loops over these are slow.
    gene, share = np.zeros(start[-1], dtype=np.uint32), np.zeros(start[-1], dtype=np.float32)
    level = np.full(0 if cells.observed else start[-1], np.inf, dtype=np.float32)
    place, by_gene = np.empty(end - begin, dtype=np.int64), np.empty(end - begin, dtype=np.int64)
    cell_of, free = np.empty(end - begin, dtype=np.int64), by_rank.copy()
    for cell in range(first, last):
        slot, n = start[cell - first] + table.n_common, cells.indptr[cell + 1] - cells.indptr[cell]
        for entry in range(cells.indptr[cell], cells.indptr[cell + 1]):
            rank, at = table.rank[cells.indices[entry]], slot
            if rank < table.n_common:
                at = start[cell - first] + rank
            else:
                slot += 1
            place[entry - begin], gene[at], share[at] = at, rank, cells.profile[entry]
            if not cells.observed:
                # Outputs times the number of genes that are left, which profiles do not depend on.
                level[at] = cells.sums[entry] + np.float32(n - 1) * cells.intercept[cells.indices[entry]]
            by_gene[free[rank]], cell_of[free[rank]] = entry, cell - first
            free[rank] += 1
    return Slots(start, gene, share, level, place, by_gene, by_rank, cell_of)


@njit(nogil=True, cache=True, error_model="numpy")
def scan_cells(cells: Cells, table: Table, first: int, last: int, found: np.ndarray) -> int:
    """Write the impacts of knockouts of some cells, -1 where only double precision will do; return how many."""
    slots, both, n_done = lay_out(cells, table, first, last), len(found) > 1, 0
    gene, shares, levels = slots.gene, slots.share, slots.level
    n_common, total = np.uint64(table.n_common), np.zeros(last - first)
    for cell in range(last - first):
        for slot in range(slots.start[cell], slots.start[cell + 1]):
            total[cell] += shares[slot]
    values = np.zeros(max(1, np.diff(slots.start).max()), dtype=np.float32)
    outputs = np.empty_like(values)
    for number in range(len(table.genes)):
        row, rank = table.values[number], table.genes[number]
        for slot in range(n_common):
            values[slot] = row[slot]
        for i in range(slots.first[rank], slots.first[rank + 1]):
            cell, entry = slots.cell[i], slots.by_gene[i]
            place = slots.place[entry - cells.indptr[first]]
            start, n = np.uint64(slots.start[cell]), np.uint64(slots.start[cell + 1] - slots.start[cell])
            for slot in range(n_common, n):
                values[slot] = row[gene[start + slot]]
            own, shares[place] = float(shares[place]), 0
            if cells.observed:
                impact, others = _of_factors(shares, values, start, n, own, total[cell], both)
            else:
                level, levels[place] = levels[place], np.inf
                after = _outputs(levels, values, start, n, outputs)
                levels[place] = level
                impact, others = _of_outputs(shares, outputs, start, n, own, total[cell], after, both)
            shares[place] = own
            found[0, entry] = min(1.0, impact)
            if both:
                found[1, entry] = min(1.0, others)
            n_done += 1
    return n_done


# The functions below take whole arrays, and call no other: numba would count references to slices, knockout by
# knockout. Indices are unsigned, so that it need not ask whether they count from the end.
@njit(nogil=True, error_model="numpy", fastmath=_FREE)
def _of_factors(
    shares: np.ndarray, change: np.ndarray, start: int, n: int, own: float, total: float, both: bool
) -> tuple[float, float]:
    """Return both impacts with a map of factors; `change` is F - 1: adding changes up keeps digits of small ones."""
    added = apart = apart_others = np.float32(0)
    for j in range(n):
        added += shares[start + j] * change[j]
    rest = total - own
    after = rest + added
    if rest < 1e-6 * total or after < 0.125 * rest:  # differences of numbers that are nearly the same
        return -1.0, -1.0
    scale, shift = np.float32(1 / after), np.float32((own - added) / (after * total))
    for j in range(n):
        apart += shares[start + j] * abs(shift + scale * change[j])
    if both:
        shift = np.float32(-added / (after * rest))
        for j in range(n):
            apart_others += shares[start + j] * abs(shift + scale * change[j])
    return 0.5 * (float(apart) + own / total), 0.5 * float(apart_others)


@njit(nogil=True, error_model="numpy", fastmath=_FREE)
def _outputs(levels: np.ndarray, column: np.ndarray, start: int, n: int, out: np.ndarray) -> float:
    """Write the outputs |level - A|, 0 where a gene is absent, and return their sum."""
    total = nothing = np.float32(0)
    for j in range(n):
        level = levels[start + j]
        out[j] = abs(level - column[j]) if level < np.float32(np.inf) else nothing
        total += out[j]
    return float(total)


@njit(nogil=True, error_model="numpy", fastmath=_FREE)
def _of_outputs(
    shares: np.ndarray, outputs: np.ndarray, start: int, n: int, own: float, total: float, after: float, both: bool
) -> tuple[float, float]:
    """Return both impacts with a map that predicts; `outputs`, of sum `after`, are 0 at the lost gene."""
    rest, apart, apart_others = total - own, np.float32(0), np.float32(0)
    scale, one = np.float32(1 / after if after > 0 else 0.0), 1 / total if total > 0 else 0.0
    before = np.float32(one)
    for j in range(n):
        apart += abs(scale * outputs[j] - before * shares[start + j])
    impact = (float(apart) + own * one) / max(1, int(after > 0) + int(total > 0))
    if both:
        before = np.float32(1 / rest if rest > 1e-7 * total else 0.0)
        for j in range(n):
            apart_others += abs(scale * outputs[j] - before * shares[start + j])
    return impact, float(apart_others) / max(1, int(scale > 0) + int(before > 0))
