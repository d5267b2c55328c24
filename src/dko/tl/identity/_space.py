"""The space that cells are moved in: principal components of what is observed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy import sparse


@dataclass(frozen=True)
class Space:
    """Principal components of cells.

    Attributes
    ----------
    components
        Their directions, genes x components, float32, each of length 1.
    positions
        Where the cells are, cells x components, float32; the mean of all cells is at 0.
    """

    components: np.ndarray
    positions: np.ndarray


def space_of(values: sparse.csr_matrix, n_pcs: int, seed: int) -> Space:
    """Return the first `n_pcs` principal components of log expression (cells x genes), which stays sparse."""
    from sklearn.decomposition import PCA

    pca = PCA(min(n_pcs, *(size - 1 for size in values.shape)), svd_solver="arpack", random_state=seed)
    positions = pca.fit_transform(values.astype(np.float64))
    return Space(pca.components_.T.astype(np.float32), positions.astype(np.float32))


class Types:
    """Centres of known groups of cells, and how similar cells are to each.

    Attributes
    ----------
    names
        Of the groups, sorted.
    """

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
