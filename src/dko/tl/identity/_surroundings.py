"""From a move among the principal components to one on an embedding, through the observed cells around."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..._settings import settings

if TYPE_CHECKING:
    from sklearn.neighbors import NearestNeighbors

# Observed cells that neighbours are sought among: all, or so many at random.
_MOST = 20_000


class Surroundings:
    """The observed cells around any point of a space, and where they are on an embedding.

    A point stands on the embedding at the mean of the observed cells around it, each with the weight
    ``exp(-distance / width)``; the width of a cell is how much further its neighbours are than the nearest on average.
    A move is the difference of two such means over the same cells, the neighbours of either point without the cell
    itself: what does not move, does not move.

    Parameters
    ----------
    positions
        Cells x components.
    embedding
        Cells x 2; cells with NaN have no place, and are nobody's neighbours.
    n_neighbors
        Of each point.
    rng
        Decides which cells neighbours are sought among, where there are very many.
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
