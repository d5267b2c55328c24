"""Where cells would move among the observed ones: by components, on an embedding, and towards cell types."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._core import keys
from .._settings import settings

if TYPE_CHECKING:
    from scipy import sparse
    from sklearn.neighbors import NearestNeighbors


@dataclass(frozen=True)
class Space:
    """Principal components of cells."""

    components: np.ndarray  # their directions, genes x components, float32, each of length 1
    positions: np.ndarray  # where the cells are, cells x components, float32; the mean of all cells is at 0


def space_of(values: sparse.csr_matrix, n_pcs: int, seed: int) -> Space:
    """Return the first `n_pcs` principal components of log expression (cells x genes), which stays sparse."""
    from sklearn.decomposition import PCA

    pca = PCA(min(n_pcs, *(size - 1 for size in values.shape)), svd_solver="arpack", random_state=seed)
    positions = pca.fit_transform(values.astype(np.float64))
    return Space(pca.components_.T.astype(np.float32), positions.astype(np.float32))


class Types:
    """Centres of known groups of cells, by sorted names, and how similar cells are to each."""

    def __init__(self, space: Space, groups: np.ndarray, column: str):
        self.names = sorted({str(name) for name in groups if name is not None})
        if not self.names:
            raise ValueError(f"No cell has a value in obs[{column!r}], so there is no type to be similar to.")
        self._positions = space.positions
        centres = np.stack([space.positions[groups == name].mean(axis=0, dtype=np.float64) for name in self.names])
        self._directions = _unit(centres)

    def change(self, rows: np.ndarray, shifts: np.ndarray) -> np.ndarray:
        """Return the change of the cosine with the centre of each group, cells x groups, float32."""
        before = self._positions[rows].astype(np.float64)
        similarity = [_unit(points) @ self._directions.T for points in (before, before + shifts)]
        return (similarity[1] - similarity[0]).astype(np.float32)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(float).tiny)


# Observed cells that neighbours are sought among: all, or so many at random.
_MOST = 20_000


class Surroundings:
    """The observed cells around any point of a space, and where they are on an embedding (see :func:`identity_shift`).

    A move is the difference of two means over the same cells, the neighbours of either point without the cell itself.
    Cells whose `embedding` is NaN are nobody's neighbours.
    """

    def __init__(self, positions: np.ndarray, embedding: np.ndarray, n_neighbors: int, rng: np.random.Generator):
        self._positions, self._embedding = positions, embedding
        placed = np.flatnonzero(np.isfinite(embedding).all(axis=1))
        if len(placed) < 2:
            raise ValueError("Fewer than two cells have a place on the embedding, so nothing can be said of moves.")
        self._observed = np.sort(rng.choice(placed, _MOST, replace=False)) if len(placed) > _MOST else placed
        self._n = min(n_neighbors, len(self._observed) - 1)

    @cached_property
    def _index(self) -> NearestNeighbors:
        from sklearn.neighbors import NearestNeighbors

        return NearestNeighbors().fit(self._positions[self._observed])

    def moves(self, rows: np.ndarray, shifts: np.ndarray) -> np.ndarray:
        """Return the moves on the embedding of cells that are shifted among the components, cells x 2, float32."""
        found = np.empty((len(rows), 2), dtype=np.float32)
        step = max(1, settings.memory_budget // (16 * self._n * shifts.shape[1]))
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            found[part] = self._moves(rows[part], shifts[part])
        return found

    def _moves(self, rows: np.ndarray, shifts: np.ndarray) -> np.ndarray:
        before = self._positions[rows]
        after = (before + shifts).astype(before.dtype)
        around = np.concatenate([self._around(rows, before), self._around(rows, after)], axis=1)
        twice = _seen_before(around)
        places, distances = self._embedding[around], _distances(before, self._positions[around])
        own = distances[:, : self._n]
        width = (own.mean(axis=1) - own.min(axis=1))[:, None]
        # Where all neighbours are equally far, all weigh the same.
        width = np.where(width > 1e-6 * own.mean(axis=1, keepdims=True), width, np.inf)
        stands = [
            np.einsum("ij,ijk->ik", _weights(np.where(twice, np.inf, far), width), places)
            for far in (distances, _distances(after, self._positions[around]))
        ]
        return stands[1] - stands[0]

    def _around(self, rows: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Return the observed cells nearest to each point, without the cell that the point is of."""
        around = self._observed[self._index.kneighbors(points, self._n + 1, return_distance=False)]
        itself = around == rows[:, None]
        itself[~itself.any(axis=1), -1] = True
        return around[~itself].reshape(len(rows), self._n)


def _distances(points: np.ndarray, around: np.ndarray) -> np.ndarray:
    return np.linalg.norm(around - points[:, None], axis=2).astype(np.float64)


def _seen_before(around: np.ndarray) -> np.ndarray:
    """Return which entries repeat an earlier one of their row."""
    order = np.argsort(around, axis=1, kind="stable")
    ordered = np.take_along_axis(around, order, axis=1)
    repeated = np.zeros(around.shape, dtype=bool)
    np.put_along_axis(repeated, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    return repeated


def _weights(distances: np.ndarray, width: np.ndarray) -> np.ndarray:
    # Infinitely far, at an infinite width too, weighs nothing.
    apart = distances - distances.min(axis=1, keepdims=True)
    weights = np.where(np.isinf(apart), 0.0, np.exp(-np.where(np.isinf(apart), 0.0, apart) / width))
    return weights / weights.sum(axis=1, keepdims=True)


class Found:
    """Shifts of cells, block by block: `labels` of knockouts, names of `cells`, their type in `groups` (None: none)."""

    def __init__(self, labels: list[str], cells: pd.Index, types: Types | None, groups: np.ndarray | None):
        self._labels, self._cells, self._types, self._groups = labels, cells, types, groups
        n_types = 0 if types is None else len(types.names)
        self.moves = np.full((len(labels), len(cells), 2), np.nan, dtype=np.float32)
        self.lengths = np.full((len(labels), len(cells)), np.nan, dtype=np.float32)
        self.changes = np.full((len(labels), len(cells), n_types), np.nan, dtype=np.float32)

    def add(self, number: int, rows: np.ndarray, shifts: np.ndarray, moves: np.ndarray) -> None:
        """Take in what a knockout does to some cells, among the components and on the embedding."""
        self.moves[number, rows] = moves
        self.lengths[number, rows] = np.linalg.norm(shifts, axis=1)
        if self._types is not None:
            self.changes[number, rows] = self._types.change(rows, shifts)

    @property
    def typed(self) -> bool:
        """Whether any cell that has taken part is of a type."""
        return self._groups is not None and bool(pd.notna(self._groups[np.isfinite(self.lengths).any(axis=0)]).any())

    def arrays(self, key: str, basis: str) -> dict[str, Any]:
        """Return the entries of ``obsm``."""
        found: dict[str, Any] = {}
        for number, label in enumerate(self._labels):
            found[keys.shift(key, basis, label)] = self.moves[number]
            if self._types is not None:
                names = [keys.column(name, self._cells) for name in self._types.names]
                found[keys.cell_identity(key, label)] = pd.DataFrame(self.changes[number], self._cells, names)
        return found

    def table(self) -> pd.DataFrame:
        """Return a row per knockout and group of cells, and per type that they come closer to."""
        groups = [""] if self._types is None else self._types.names
        parts = []
        for number, label in enumerate(self._labels):
            for group in groups:
                of_group = True if self._types is None else self._groups == group
                rows = np.flatnonzero(np.isfinite(self.lengths[number]) & of_group)
                if not len(rows):
                    continue
                part: dict[str, Any] = {"knockout": label, "group": group}
                if self._types is not None:
                    part["type"] = self._types.names
                    part["change"] = self.changes[number, rows].mean(axis=0, dtype=float)
                part |= {"length": self.lengths[number, rows].mean(dtype=float), "n_cells": len(rows)}
                parts.append(pd.DataFrame(part, index=None if self._types is not None else [0]))
        return pd.concat(parts, ignore_index=True)
