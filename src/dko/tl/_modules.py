"""Vectors that point the same way: their modules, what marks them, and how they agree with known groups."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._core import keys
from .._core.names import members
from .._core.process import keep_compiled_umap, numba_threads
from ..metrics import neighbour_agreement

if TYPE_CHECKING:
    from .._typing import AnnData, Container, Mapping, Sequence

# Fewer vectors have no graph of neighbours worth the name.
_FEWEST = 15
_N_COMPONENTS = 30
# Cosine distance at which vectors are of one kind, however close others are.
_ALIKE = 0.3


def reduced(effects: np.ndarray) -> np.ndarray:
    """Return effects in their principal directions around no change, n x at most 30, of the same lengths."""
    from sklearn.utils.extmath import svd_flip

    left, singular, right = np.linalg.svd(effects.astype(np.float64), full_matrices=False)
    left, _ = svd_flip(left, right, u_based_decision=False)
    return (left * singular)[:, :_N_COMPONENTS]


def module_numbers(vectors: np.ndarray, resolution: float, seed: int) -> np.ndarray:
    """Return the number of the module of each vector, from 1 for the largest: Leiden or, below 15, average linkage."""
    if len(vectors) < 2:
        return np.ones(len(vectors), dtype=int)
    found = _linked(vectors, resolution) if len(vectors) < _FEWEST else _leiden(vectors, resolution, seed)
    number = pd.factorize(found)[0]
    by_size = np.argsort(-np.bincount(number), kind="stable")
    return np.argsort(by_size)[number] + 1


def _linked(vectors: np.ndarray, resolution: float) -> np.ndarray:
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform
    from sklearn.metrics.pairwise import cosine_distances

    distances = squareform(cosine_distances(vectors), checks=False)
    tree = linkage(distances, method="average")
    return fcluster(tree, max(distances.mean(), _ALIKE) / resolution, criterion="distance")


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
    from sklearn.preprocessing import normalize

    n = len(vectors)
    # On the unit sphere, Euclidean neighbours are those by cosine. Scanpy counts a vector among its own neighbours;
    # with fewer than five others, the graph of 20 vectors of one kind falls apart.
    keep_compiled_umap()
    graph = AnnData(normalize(vectors).astype(np.float32))
    n_neighbors = min(1 + min(15, max(5, n // 5)), n - 1)
    sc.pp.neighbors(graph, n_neighbors=n_neighbors, use_rep="X", random_state=seed)
    return graph


@numba_threads()
def places(vectors: np.ndarray, seed: int) -> np.ndarray:
    """Return where to draw vectors, n x 2: UMAP by cosine from two main directions, for few these alone."""
    import scanpy as sc
    from sklearn.preprocessing import normalize

    there, found = vectors.any(axis=1), np.zeros((len(vectors), 2))
    if not there.any():
        return found
    start = reduced(normalize(vectors[there]))[:, :2]
    found[there, : start.shape[1]] = start
    if len(start) > 5:
        graph = _neighbours(vectors[there], seed)
        start = 10 * (found[there] / np.abs(start).max()).astype(np.float32)
        sc.tl.umap(graph, init_pos=start, random_state=seed)
        found[there] = graph.obsm["X_umap"]
    found[~there] = found[there].mean(axis=0)
    return found


def silhouettes(vectors: np.ndarray, modules: np.ndarray) -> np.ndarray:
    """Return how much closer each vector is to its own module than to the next, -1 to 1; NaN where there is no next."""
    from sklearn.metrics import silhouette_samples

    found = np.full(len(modules), np.nan)
    rows = modules != keys.NO_EFFECT
    if 1 < len(np.unique(modules[rows])) < rows.sum():
        found[rows] = silhouette_samples(vectors[rows], modules[rows], metric="cosine")
    return found


def markers_of(changes: pd.DataFrame, modules: np.ndarray, n_genes: int) -> pd.DataFrame:
    """Return the genes (columns) whose mean change in a module differs most from that in all others, without NaN."""
    changes, modules = changes[modules != keys.NO_EFFECT], modules[modules != keys.NO_EFFECT]
    parts = []
    for module in sorted(set(modules), key=int):
        inside = modules == module
        means = pd.DataFrame({"change": changes[inside].mean(), "others": changes[~inside].mean()})
        apart = (means["change"] - means["others"].fillna(0)).abs()
        top = means.loc[apart.sort_values(ascending=False, kind="stable").index[:n_genes]]
        parts.append(top.rename_axis("gene").reset_index().assign(module=module))
    if not parts:
        return pd.DataFrame({"module": [""], "gene": "", "change": np.nan, "others": np.nan}).iloc[:0]
    return pd.concat(parts, ignore_index=True)[["module", "gene", "change", "others"]]


def known_groups(groups: Mapping[str, str] | pd.Series, labels: Sequence[str], genes: Container[str]) -> np.ndarray:
    """Return the known group of each perturbation, '' where there is none; ``"B+A"`` is ``"A+B"``."""
    given = {keys.label(members(str(name), genes)): group for name, group in dict(groups).items() if not pd.isna(group)}
    found = np.array([str(given.get(label, "")) for label in labels], dtype=object)
    if len(set(found) - {""}) < 2:
        raise ValueError(
            f"groups has {len(set(found) - {''})} groups for {int((found != '').sum())} of the {len(labels)} "
            "perturbations; it needs two groups or more, by name of the perturbation."
        )
    return found


def agreement(
    basis: str, over: str, vectors: np.ndarray, modules: np.ndarray, groups: np.ndarray, seed: int
) -> dict[str, object]:
    """Return a row of the table of agreement with known groups."""
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    known = groups != ""
    groups, modules = groups[known].astype(str), modules[known].astype(str)
    near = neighbour_agreement(vectors[known], groups, rng=seed)
    enough = len(groups) > 1
    return {
        "basis": basis,
        "over": over,
        "n_perturbations": len(groups),
        "n_modules": len(set(modules)),
        "ari": adjusted_rand_score(groups, modules) if enough else np.nan,
        "nmi": normalized_mutual_info_score(groups, modules) if enough else np.nan,
        "neighbours": near.share,
        "neighbours_expected": near.expected,
        "neighbours_p": near.p_value,
    }
