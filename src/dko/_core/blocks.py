"""Blocks of cells that a model works on, here or in another process: nothing in them holds an AnnData."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .._compat import stored
from ..models.base import like

if TYPE_CHECKING:
    from scipy import sparse

    from .._typing import Callable, Iterator, Sequence
    from ..models import Knockout, Model
    from ..models.base import Sets
    from .cells import Piece
    from .reading import Take


class Part(NamedTuple):
    """Cells of a block that have one model: the model, which of the `rows` of the block, and what it reads of them."""

    model: Model
    there: np.ndarray
    values: sparse.csr_matrix


@dataclass(frozen=True)
class Block:
    """Rows `first` to `stop` of an AnnData, those of them that are predicted, their models, and what these read."""

    first: int
    stop: int
    rows: np.ndarray
    models: np.ndarray
    values: sparse.csr_matrix

    def parts(self, model: Model) -> Iterator[Part]:
        """Yield the cells of each model that it has; `model` is any of them."""
        for number in np.unique(self.models):
            there = np.flatnonzero(self.models == number)
            values = self.values if len(there) == len(self.models) else self.values[there]
            yield Part(model.part(int(number)), there, values)

    def read(self) -> Block:
        """Return it as it is."""
        return self


@dataclass(frozen=True)
class Unread:
    """A block that lies in a file, for another process to read; `take` makes of its values what models read."""

    piece: Piece
    rows: np.ndarray
    models: np.ndarray
    take: Take

    def read(self) -> Block:
        """Read it."""
        values, where = self.take(self.piece.read()), self.piece.rows
        return Block(where.start, where.stop, self.rows, self.models, chosen_of(values, where.start, self.rows))


def chosen_of(values: sparse.csr_matrix, first: int, rows: np.ndarray) -> sparse.csr_matrix:
    """Return some rows, of values from the row `first` on."""
    return values if len(rows) == values.shape[0] else values[rows - first]


def knocked_out(
    model: Model,
    sets: Sets,
    doses: Sequence[float],
    profiles: bool,
    block: Block,
    noise: np.ndarray,
    advance: Callable[[int], object],
) -> Iterator[Knockout]:
    """Yield the knockout of each set of genes with each dose, with rows of the AnnData."""
    for part, there, values in block.parts(model):
        for found in part.knock_out(values, sets, doses, noise[there], profiles=profiles):
            rows = block.rows[there[found.rows]]
            yield part.with_impacts(found, sets[found.number])._replace(rows=rows)
            advance(len(there))


def effects_of(
    model: Model,
    sets: Sets,
    n_groups: int,
    block: Block,
    noise: np.ndarray,
    group: np.ndarray,
    advance: Callable[[int], object],
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield sums of changes of log expression, groups (-1: none) x sets x genes, and numbers of cells."""
    for part, there, values in block.parts(model):
        yield part.effect_sums(values, sets, group[there], n_groups, noise[there])
        advance(len(there))


def layers(
    values: sparse.csr_matrix, kinds: np.ndarray, rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]
) -> list[sparse.csr_matrix]:
    """Return values of some cells and genes, at `rows` and `columns`, in matrices like X; NaN stands for no entry.

    `kinds` holds the values of each matrix, kinds x entries of `values`, whose places they take; NaN are the same in
    all. The matrices share their arrays of indices.
    """
    kept = ~np.isnan(kinds[0])
    sizes, indices = np.zeros(shape[0], dtype=np.int64), columns.astype(np.int32)[values.indices]
    if kept.all():
        sizes[rows] = np.diff(values.indptr)
    else:
        sizes[rows] = np.diff(np.concatenate([[0], np.cumsum(kept)])[values.indptr])
        indices, kinds = indices[kept], kinds[:, kept]
    indptr = np.concatenate([[0], np.cumsum(sizes)])
    first = stored((kinds[0], indices, indptr), shape=shape)
    if not first.has_sorted_indices:
        first.data = np.arange(len(indices))
        first.sort_indices()
        kinds = kinds[:, first.data]
    return [like(first, one) for one in kinds]
