"""Knocking out pairs in every cell that has both genes, and summing up what is found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..._settings import settings
from ...metrics import pair_interaction
from ...models.knockout import find, pair_effects, pair_null
from ._null import relative_interaction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scipy import sparse

    from ..._core.knockouts import Part
    from ...models.knockout import Engine

# Pairs at a time at most, so that the progress bar moves; bytes of a pair in a cell while it is knocked out.
_PIECE, _BYTES = 256, 96

# Cells in which a pair is held against chance. Chance lies in which genes the two act on, and these are the same in all
# cells: more cells hardly change what is found.
NULL_CELLS = 64


@dataclass(frozen=True)
class Cells:
    """Cells of one model: the part, and of each cell its group (-1: none) and its rank in a random order.

    `single` has the downstream impacts of the genes alone, one per entry of ``part.presence``, NaN at genes of no pair.
    """

    part: Part
    group: np.ndarray
    rank: np.ndarray
    single: np.ndarray


@dataclass(frozen=True)
class Sums:
    """What pairs do; arrays over groups x pairs, the pairs of the first group first.

    Attributes
    ----------
    n_cells
        Cells of the group that have both genes.
    impacts
        Sums over them of the downstream impacts of both, of the first and of the second gene, n x 3.
    squares
        Sums of the squares of the interactions.
    size, coefficients
        Of the mean effects, as in :func:`dko.metrics.pair_interaction`.
    relative
        Interaction relative to the sum of the singles in at most 64 of the cells, as it is and after each permutation,
        n x (1 + permutations).
    """

    n_cells: np.ndarray
    impacts: np.ndarray
    squares: np.ndarray
    size: np.ndarray
    coefficients: np.ndarray
    relative: np.ndarray


def cells_of(part: Part, group: np.ndarray, rank: np.ndarray, pairs: np.ndarray, engine: Engine) -> Cells:
    """Knock out the genes of all pairs alone; `group` and `rank` are of all cells."""
    wanted = np.zeros(part.presence.shape[1], dtype=bool)
    wanted[pairs] = True
    single = engine.scan(part.affine, part.presence, wanted=wanted, downstream=True)[1]
    return Cells(part, group[part.rows], rank[part.rows], single)


def n_double_knockouts(presence: sparse.csr_matrix, pairs: np.ndarray) -> int:
    """Count the cells that have both genes, over all pairs."""
    genes, local = np.unique(pairs, return_inverse=True)
    there = presence[:, genes]
    first, second = local.reshape(pairs.shape).T
    return int((there.T @ there).toarray()[first, second].sum())


def pieces_of(n_pairs: int, n_groups: int, n_genes: int, n_knockouts: int) -> list[slice]:
    """Cut pairs into pieces that fit into memory; `n_knockouts` in all cells, of all pairs."""
    per_pair = max(24 * n_groups * n_genes, _BYTES * n_knockouts // n_pairs)
    step = int(np.clip(settings.memory_budget // per_pair, 1, _PIECE))
    return [slice(start, min(start + step, n_pairs)) for start in range(0, n_pairs, step)]


def measure(cells: Sequence[Cells], n_groups: int, pairs: np.ndarray, moves: np.ndarray, engine: Engine) -> Sums:
    """Knock out pairs, n x 2, in all cells that have both genes."""
    n, n_genes = n_groups * len(pairs), moves.shape[1]
    of_all, n_cells, squares = np.tile(pairs, (n_groups, 1)), np.zeros(n, dtype=int), np.zeros(n)
    impacts, effects, null = np.zeros((n, 3)), np.zeros((n, 3, n_genes)), np.zeros((n, 1 + len(moves), 3))
    found = [_found(some, pairs) for some in cells]
    chosen = _first(found, [some.rank for some in cells])
    for some, (row, number, position), few in zip(cells, found, chosen, strict=True):
        affine, presence = some.part.affine, some.part.presence
        both = engine.knock_out(affine, presence, row, position, downstream=True)[1]
        three = np.column_stack([both, some.single[presence.indptr[row][:, None] + position]]).astype(float)
        n_cells += np.bincount(number, minlength=n)
        impacts += np.column_stack([np.bincount(number, column, n) for column in three.T])
        squares += np.bincount(number, (three[:, 0] - three[:, 1] - three[:, 2]) ** 2, n)
        effects += pair_effects(affine, presence, of_all, _rows_of(row, number, n))
        null += pair_null(affine, presence, of_all, _rows_of(row[few], number[few], n), moves)
    profiles = pair_interaction(effects[:, 0], first=effects[:, 1], second=effects[:, 2])
    return Sums(n_cells, impacts, squares, *profiles, relative_interaction(null))


def _found(cells: Cells, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows of cells, which group and pair this is, and the positions of the genes, n x 2."""
    row, number, position = find(cells.part.presence, pairs, whole=True)
    there = cells.group[row] >= 0
    return row[there], (cells.group[row] * len(pairs) + number)[there], position[there]


def _first(found: Sequence[tuple[np.ndarray, ...]], ranks: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Mark the cells of each group and pair, 64 at most, that come first in a random order."""
    number = np.concatenate([one[1] for one in found])
    rank = np.concatenate([ranks[i][one[0]] for i, one in enumerate(found)])
    order = np.lexsort([rank, number])
    starts = np.searchsorted(number[order], number[order])
    few = np.zeros(len(number), dtype=bool)
    few[order[np.arange(len(number)) - starts < NULL_CELLS]] = True
    return np.split(few, np.cumsum([len(one[0]) for one in found])[:-1])


def _rows_of(row: np.ndarray, number: np.ndarray, n: int) -> list[np.ndarray]:
    """Return the rows of each number below `n`."""
    order = np.argsort(number, kind="stable")
    return np.split(row[order], np.cumsum(np.bincount(number, minlength=n))[:-1])
