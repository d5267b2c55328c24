"""Groups of vectors that point the same way, and where to draw them."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from ..._core.process import numba_threads

if TYPE_CHECKING:
    from anndata import AnnData

# Fewer vectors have no graph of neighbours worth the name.
_FEWEST = 15
_N_COMPONENTS = 30
# Cosine distance at which vectors are of one kind, however close others are.
_ALIKE = 0.3


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return vectors of length 1; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1.0)


def reduced(effects: np.ndarray) -> np.ndarray:
    """Return effects in their principal directions around no change, n x at most 30, of the same lengths but for noise.

    The sign of each direction is that of its largest entry.
    """
    left, singular, right = np.linalg.svd(effects.astype(np.float64), full_matrices=False)
    largest = np.abs(right).argmax(axis=1)
    signs = np.where(right[np.arange(len(right)), largest] < 0, -1.0, 1.0)
    return (left * singular * signs)[:, :_N_COMPONENTS]


def module_numbers(vectors: np.ndarray, resolution: float, seed: int) -> np.ndarray:
    """Return the number of the module of each vector, from 1 for the largest; ties go by the first member.

    Leiden on the graph of nearest neighbours by cosine (Traag et al. 2019) or, below 15 vectors, average linkage of
    cosine distances: like modularity, it joins what is closer than the mean pair, over the resolution.
    """
    if len(vectors) < 2:
        return np.ones(len(vectors), dtype=int)
    found = (_linked if len(vectors) < _FEWEST else _leiden)(vectors, resolution, seed)
    values, first, counts = np.unique(found, return_index=True, return_counts=True)
    rank = np.empty(len(values), dtype=int)
    rank[np.lexsort([first, -counts])] = np.arange(1, len(values) + 1)
    return rank[np.searchsorted(values, found)]


def _linked(vectors: np.ndarray, resolution: float, _seed: int) -> np.ndarray:
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    directions = unit(vectors)
    distance = np.clip(1.0 - directions @ directions.T, 0.0, 2.0)
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(distance, checks=False), method="average")
    usual = distance[np.triu_indices(len(distance), 1)].mean()
    return fcluster(tree, max(usual, _ALIKE) / resolution, criterion="distance")


@numba_threads()
def _leiden(vectors: np.ndarray, resolution: float, seed: int) -> np.ndarray:
    import scanpy as sc

    require_leiden(f"Modules of {_FEWEST} or more perturbations")
    graph = _neighbours(vectors, seed)
    sc.tl.leiden(
        graph, resolution=resolution, flavor="igraph", directed=False, n_iterations=-1, random_state=seed, key_added="m"
    )
    return graph.obs["m"].astype(int).to_numpy()


def require_leiden(what: str) -> None:
    """Say how to install what Leiden needs, if it is not there."""
    if find_spec("igraph") is None:
        raise ImportError(f"{what} are found with Leiden, which needs igraph; pip install 'scanpy[leiden]'.")


def _neighbours(vectors: np.ndarray, seed: int) -> AnnData:
    import scanpy as sc
    from anndata import AnnData

    n = len(vectors)
    # On the unit sphere, Euclidean neighbours are those by cosine. Scanpy counts a vector among its own neighbours;
    # with fewer than five others, the graph of 20 vectors of one kind falls apart.
    graph = AnnData(unit(vectors).astype(np.float32))
    n_neighbors = min(1 + min(15, max(5, n // 5)), n - 1)
    sc.pp.neighbors(graph, n_neighbors=n_neighbors, use_rep="X", random_state=seed)
    return graph


def places(vectors: np.ndarray, seed: int) -> np.ndarray:
    """Return where to draw vectors, n x 2: UMAP by cosine from their two main directions; these alone for very few.

    Zeros have no direction, and are drawn in the middle of the others.
    """
    there, found = vectors.any(axis=1), np.zeros((len(vectors), 2))
    if there.any():
        found[there] = _mapped(vectors[there], seed)
        found[~there] = found[there].mean(axis=0)
    return found


@numba_threads()
def _mapped(vectors: np.ndarray, seed: int) -> np.ndarray:
    import scanpy as sc

    start = reduced(unit(vectors))[:, :2]
    start = np.pad(start, ((0, 0), (0, 2 - start.shape[1])))
    if len(vectors) < 6:
        return start
    graph = _neighbours(vectors, seed)
    sc.tl.umap(graph, init_pos=10 * (start / np.abs(start).max()).astype(np.float32), random_state=seed)
    return np.asarray(graph.obsm["X_umap"], dtype=np.float64)
