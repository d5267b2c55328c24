"""Knocking out any genes together, in double precision: impacts and profiles, and effects summed over cells."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

from ..._settings import settings
from .._parallel import in_parallel
from .maps import BOUND, AffineMap, FactorMap, all_cells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scipy import sparse

    from .maps import AnyMap, Cells

# Sets of genes that one thread takes at a time.
_PIECE = 2048


class Sets(NamedTuple):
    """Some knockouts of several genes, one row each; -1 pads."""

    row: np.ndarray  # cell, ascending
    removed: np.ndarray  # genes, as positions among those of the cell
    local: np.ndarray  # and as rows of `columns`
    weights: np.ndarray  # how much each counts, the dose included
    columns: np.ndarray  # what the loss of some genes does to each, genes x all genes
    number: np.ndarray  # row that the profile after the knockout goes to


def knock_out(
    affine: AnyMap,
    cells: Cells,
    row: np.ndarray,
    removed: np.ndarray,
    *,
    dose: float = 1.0,
    after: np.ndarray | None = None,
    number: np.ndarray | None = None,
) -> np.ndarray:
    """Return both impacts of each knockout, in the cell of its `row` (ascending), of `removed` positions (float32).

    The profiles afterwards are written to the row `number` of `after`, any number of rows x entries of `cells`.
    """
    found = np.zeros((2, len(row)), dtype=np.float32)
    if after is None or number is None:
        after, number = np.empty((0, 0), dtype=np.float32), np.zeros(len(row), dtype=np.int64)
    genes = np.full(removed.shape, -1)
    there = removed >= 0
    genes[there] = cells.indices[(cells.indptr[row][:, None] + removed)[there]]
    # So many knockouts at a time that the columns of all their genes fit into memory.
    room = settings.memory_budget // (8 * affine.n_genes)
    step = max(1, len(row) if room >= affine.n_genes else room // removed.shape[1])
    for first in range(0, len(row), step):
        part = slice(first, first + step)
        some, local = np.unique(genes[part], return_inverse=True)
        local = local.reshape(genes[part].shape) - int(some[0] < 0)
        columns = np.ascontiguousarray(affine.columns(some[some >= 0]))

        def work(start: int, part: slice = part, local: np.ndarray = local, columns: np.ndarray = columns) -> None:
            piece = slice(start, start + _PIECE)
            weights = dose * affine.weights(genes[part][piece])
            sets = Sets(row[part][piece], removed[part][piece], local[piece], weights, columns, number[part][piece])
            knock_out_sets(cells, sets, float(dose), found[:, part][:, piece], after)

        in_parallel(work, range(0, len(local), _PIECE))
    return found


@njit(nogil=True, cache=True, error_model="numpy")
def knock_out_sets(cells: Cells, sets: Sets, dose: float, found: np.ndarray, after: np.ndarray) -> None:
    """Write impacts and downstream impacts, and profiles where `after` has rows for them, in double precision."""
    longest = 0
    for cell in sets.row:
        longest = max(longest, cells.indptr[cell + 1] - cells.indptr[cell])
    fall, is_lost = np.empty(longest), np.empty(longest, dtype=np.bool_)
    for knockout in range(len(sets.row)):
        start, stop = cells.indptr[sets.row[knockout]], cells.indptr[sets.row[knockout] + 1]
        indices, profile, n = cells.indices[start:stop], cells.profile[start:stop], stop - start
        fall[:n], is_lost[:n], n_left = 0, False, float(n)
        for k in range(sets.removed.shape[1]):
            if sets.removed[knockout, k] >= 0:
                n_left -= dose
                is_lost[sets.removed[knockout, k]] = True
                column, weight = sets.columns[sets.local[knockout, k]], sets.weights[knockout, k]
                for j in range(n):
                    fall[j] += weight * column[indices[j]]
        for j in range(n):
            if cells.observed:
                factor = 1.0 if is_lost[j] else math.exp(-max(-BOUND * dose, min(BOUND * dose, fall[j])))
                fall[j] = profile[j] * factor
            else:
                raw = cells.sums[start + j] - fall[j]
                fall[j] = abs(raw / max(n_left, 1.2e-7) + cells.intercept[indices[j]])
            if is_lost[j]:
                fall[j] *= 1 - dose
        impact, others = _compare(profile, fall[:n], is_lost[:n])
        # The last digit may say a little more than everything.
        found[0, knockout], found[1, knockout] = min(1.0, impact), min(1.0, others)
        if len(after):
            after[sets.number[knockout], start:stop] = fall[:n]


@njit(nogil=True, error_model="numpy")
def _compare(before: np.ndarray, after: np.ndarray, is_lost: np.ndarray) -> tuple[float, float]:
    """Return impact and downstream impact; `after`, on any scale, is made to sum to 1."""
    sums = np.zeros((2, 2))
    for j in range(len(before)):
        sums[0, int(is_lost[j])] += before[j]
        sums[1, int(is_lost[j])] += after[j]
    total, whole, rest, others = sums[0].sum(), sums[1].sum(), sums[0, 0], sums[1, 0]
    one, scale = 1 / total if total > 0 else 0.0, 1 / whole if whole > 0 else 0.0
    one_rest, scale_rest = 1 / rest if rest > 0 else 0.0, 1 / others if others > 0 else 0.0
    impact = apart = 0.0
    for j in range(len(before)):
        if not is_lost[j]:
            apart += abs(after[j] * scale_rest - before[j] * one_rest)
        after[j] *= scale
        impact += abs(after[j] - before[j] * one)
    return impact / max(1, (one > 0) + (scale > 0)), apart / max(1, (one_rest > 0) + (scale_rest > 0))


def effect_sums(
    affine: AnyMap, presence: sparse.csr_matrix, wanted: np.ndarray, group: np.ndarray, n_groups: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return sums over cells of changes of log1p(1e4 * profile), groups (-1: none) x wanted x genes, and numbers."""
    cells, having = all_cells(affine, presence), presence.tocsc()
    totals = np.zeros((n_groups, len(wanted), affine.n_genes))
    n_cells = np.zeros((n_groups, len(wanted)), dtype=np.int64)

    def work(number: int) -> None:
        gene = wanted[number]
        rows = having.indices[having.indptr[gene] : having.indptr[gene + 1]].astype(np.int64)
        change = _changes_of(affine, affine.columns(wanted[number : number + 1]))[0]
        for one in np.unique(group[rows][group[rows] >= 0]):
            some = rows[group[rows] == one]
            n_cells[one, number] = len(some)
            compare(cells, some, change, np.array([gene, gene]), 1, totals[one, number])

    in_parallel(work, range(len(wanted)))
    return totals, n_cells


def pair_effects(
    affine: AnyMap,
    presence: sparse.csr_matrix,
    pairs: np.ndarray,
    rows: Sequence[np.ndarray],
    few: Sequence[np.ndarray],
    moves: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return sums over cells of effects and of downstream impacts of pairs, and of their genes alone.

    Effects, pairs x 3 (both, first, second) x genes, are changes of log1p(1e4 * profile) in the cells `rows` of each
    pair, both genes taken out of all profiles. Impacts, pairs x (1 + permutations) x 3, are those in `few` of these
    cells, as they are and with what one gene acts on permuted: `moves`, permutations x genes, say from which gene each
    gene gets its number in the column of the map, of the second and of the first gene in turn; what a gene does to
    itself stays. Where outputs are divided by the number of present genes, what genes have in common on average stays
    too.
    """
    effects, impacts = np.zeros((len(pairs), 3, affine.n_genes)), np.zeros((len(pairs), 1 + len(moves), 3))
    common, none = np.zeros(affine.n_genes), np.empty(0)
    if isinstance(affine, AffineMap):
        sizes = np.diff(presence.indptr)
        often = presence.T @ (1.0 / np.maximum(sizes, 1)) / max(1, np.count_nonzero(sizes))
        common = affine.product(often[None])[0]
    used = np.unique(np.concatenate([np.empty(0, dtype=int), *rows]))
    cells = all_cells(affine, presence[used])

    def work(number: int) -> None:
        pair = pairs[number]
        every, some = (np.searchsorted(used, chosen[number]) for chosen in (rows, few))
        alone = affine.columns(pair).astype(float)
        for turn in range(1 + len(moves)):
            columns, which = alone.copy(), turn % 2
            if turn:
                columns[which] = permuted(alone[which], common, moves[turn - 1], pair[which])
            together = affine.weights(pair[None])[0] @ columns
            changes = _changes_of(affine, np.vstack([together, columns]))
            for one, (change, lost) in enumerate(zip(changes, (pair, pair[[0, 0]], pair[[1, 1]]), strict=True)):
                impacts[number, turn, one] = compare(cells, some, change, lost, 1 + (one == 0), none)
                if turn == 0:
                    compare(cells, every, change, pair, 1 + (one == 0), effects[number, one])

    in_parallel(work, [number for number, of_pair in enumerate(rows) if len(of_pair)])
    return effects, impacts


def permuted(column: np.ndarray, common: np.ndarray, move: np.ndarray, own: int) -> np.ndarray:
    """Return a column whose difference to `common` is permuted, but for the number of the gene itself."""
    special = column - common
    found = special[move]
    found[move == own] = special[move[own]]
    found[own] = special[own]
    return found + common


def _changes_of(affine: AnyMap, columns: np.ndarray) -> np.ndarray:
    """Return what the kernels read of what the loss of some genes does to all (float64)."""
    columns = columns.astype(float)
    return np.exp(-np.clip(columns, -BOUND, BOUND)) if isinstance(affine, FactorMap) else columns


@njit(nogil=True, cache=True, error_model="numpy")
def compare(
    cells: Cells, rows: np.ndarray, change: np.ndarray, lost: np.ndarray, n_lost: int, effects: np.ndarray
) -> float:
    """Return the sum over some cells of the downstream impact of one knockout, of `n_lost` genes.

    Both profiles are without the genes of `lost`. Changes of log1p(1e4 * profile) are added to `effects`, unless it is
    empty.
    """
    found, out = 0.0, np.empty(len(change))
    for cell in rows:
        start, n = cells.indptr[cell], cells.indptr[cell + 1] - cells.indptr[cell]
        size, after, before, apart = max(n - float(n_lost), 1e-7), 0.0, 0.0, 0.0
        for j in range(n):
            gene, share = cells.indices[start + j], cells.profile[start + j]
            if gene != lost[0] and gene != lost[1]:
                if cells.observed:
                    out[j] = share * change[gene]
                else:
                    out[j] = abs((cells.sums[start + j] - change[gene]) / size + cells.intercept[gene])
                after += out[j]
                before += share
        scale, scale_before = 1 / after if after > 0 else 0.0, 1 / before if before > 0 else 0.0
        for j in range(n):
            gene, share = cells.indices[start + j], scale_before * cells.profile[start + j]
            if gene != lost[0] and gene != lost[1]:
                apart += abs(scale * out[j] - share)
                if len(effects):
                    effects[gene] += math.log((1 + 1e4 * scale * out[j]) / (1 + 1e4 * share))
        found += apart / max(1, (after > 0) + (before > 0))
    return found
