"""Modules: knockouts whose effects point the same way, what marks them, and how they agree with known groups."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from .._core import keys
from .._core.names import members
from .._core.process import keep_compiled_umap, numba_threads
from ..metrics import neighbour_agreement

if TYPE_CHECKING:
    from .._typing import AnnData, Container, Mapping, Sequence
    from ._module_effects import Effects


class Plan(NamedTuple):
    """What the user asked for; see :func:`dko.tl.perturbation_modules`."""

    basis: str
    resolution: float
    alpha: float
    n_null: int
    n_markers: int


def modules_of(effects: Effects, known: np.ndarray | None, plan: Plan, seed: int) -> dict[str, Any]:
    """Return the entries of ``uns``; `known` has the groups of the knockouts, '' for those that have none."""
    vectors = effects.vectors
    modules = np.full(len(vectors), keys.NO_EFFECT, dtype=object)
    affects = ~(effects.p_effect > plan.alpha)
    modules[affects] = module_numbers(vectors[affects], plan.resolution, seed).astype(str)
    place = places(vectors, seed)
    table = pd.DataFrame(
        {
            "perturbation": list(effects.sets),
            "module": modules,
            "strength": np.linalg.norm(vectors, axis=1),
            "p_effect": effects.p_effect,
            "is_unseen": effects.unseen,
            "n_cells": effects.n_cells,
            "silhouette": _silhouettes(unit(vectors), modules),
            "umap_1": place[:, 0],
            "umap_2": place[:, 1],
            **({} if known is None else {"group": known}),
        }
    )
    genes_of = list(effects.sets.values())
    found = {
        keys.TABLE: table,
        keys.MARKERS: _markers(effects.changes, modules, genes_of, effects.genes, plan.n_markers),
        keys.VECTORS: vectors.astype(np.float32),
    }
    if known is not None:
        there = np.isin(list(effects.sets), list(effects.measured)) & affects & ~effects.unseen
        rows = [_agreement(plan.basis, "all", vectors[affects], modules[affects], known[affects], seed)]
        if there.any():
            raw = reduced(np.stack([effects.measured[label] for label in table["perturbation"][there]]))
            numbers = module_numbers(raw, plan.resolution, seed)
            rows += [
                _agreement(plan.basis, "trained", vectors[there], modules[there], known[there], seed),
                _agreement("measured", "trained", raw, numbers, known[there], seed),
            ]
        found[keys.AGREEMENT] = pd.DataFrame(rows)
    return found


def in_order(found: dict[str, Any], labels: Sequence[str]) -> dict[str, Any]:
    """Return the same with the knockouts in the order that the user has given."""
    order = pd.Index(found[keys.TABLE]["perturbation"]).get_indexer(list(labels))
    table = found[keys.TABLE].iloc[order].reset_index(drop=True)
    return {**found, keys.TABLE: table, keys.VECTORS: found[keys.VECTORS][order]}


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
    """Return effects in their principal directions around no change, n x at most 30, of the same lengths."""
    left, singular, right = np.linalg.svd(effects.astype(np.float64), full_matrices=False)
    largest = np.abs(right).argmax(axis=1)
    signs = np.where(right[np.arange(len(right)), largest] < 0, -1.0, 1.0)
    return (left * singular * signs)[:, :_N_COMPONENTS]


def module_numbers(vectors: np.ndarray, resolution: float, seed: int) -> np.ndarray:
    """Return the number of the module of each vector, from 1 for the largest: Leiden or, below 15, average linkage."""
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
    keep_compiled_umap()
    graph = AnnData(unit(vectors).astype(np.float32))
    n_neighbors = min(1 + min(15, max(5, n // 5)), n - 1)
    sc.pp.neighbors(graph, n_neighbors=n_neighbors, use_rep="X", random_state=seed)
    return graph


def places(vectors: np.ndarray, seed: int) -> np.ndarray:
    """Return where to draw vectors, n x 2: UMAP by cosine from two main directions, for few these alone."""
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


def _silhouettes(directions: np.ndarray, modules: np.ndarray) -> np.ndarray:
    """Return how much closer each vector is to its own module than to the next, -1 to 1; NaN where there is no next."""
    from sklearn.metrics import silhouette_samples

    found = np.full(len(modules), np.nan)
    rows = modules != keys.NO_EFFECT
    if 1 < len(np.unique(modules[rows])) < rows.sum():
        found[rows] = silhouette_samples(directions[rows], modules[rows], metric="cosine")
    return found


def _markers(
    effects: np.ndarray, modules: np.ndarray, sets: Sequence[Sequence[str]], genes: Sequence[str], n_genes: int
) -> pd.DataFrame:
    """Return the genes whose mean change in a module differs most from that in all others; own targets do not count."""
    effects = effects.astype(np.float64)
    for row, targets in enumerate(sets):
        effects[row, np.isin(genes, list(targets))] = np.nan
    parts = []
    for module in sorted(set(modules) - {keys.NO_EFFECT}, key=int):
        inside, outside = modules == module, (modules != module) & (modules != keys.NO_EFFECT)
        change, others = _mean(effects[inside]), _mean(effects[outside])
        apart = np.abs(change - np.nan_to_num(others))
        top = np.argsort(-np.nan_to_num(apart, nan=-1.0), kind="stable")[:n_genes]
        names = np.asarray(genes, dtype=object)[top]
        parts.append(pd.DataFrame({"module": module, "gene": names, "change": change[top], "others": others[top]}))
    columns = {"module": str, "gene": str, "change": float, "others": float}
    return (
        pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({name: [] for name in columns}).astype(columns)
    )


def _mean(effects: np.ndarray) -> np.ndarray:
    """Return the mean over rows, without NaN; NaN where nothing is left."""
    n = np.isfinite(effects).sum(axis=0)
    return np.where(n > 0, np.nansum(effects, axis=0) / np.maximum(n, 1), np.nan)


def known_groups(
    groups: Mapping[str, str] | pd.Series | None, labels: Sequence[str], genes: Container[str]
) -> np.ndarray | None:
    """Return the group of each perturbation as the user knows it, '' where he does not; ``"B+A"`` is ``"A+B"``."""
    if groups is None:
        return None
    given = {keys.label(members(str(name), genes)): group for name, group in dict(groups).items() if not pd.isna(group)}
    found = np.array([str(given.get(label, "")) for label in labels], dtype=object)
    if len(set(found) - {""}) < 2:
        raise ValueError(
            f"groups says of {int((found != '').sum())} of the {len(labels)} perturbations which of "
            f"{len(set(found) - {''})} groups they belong to; it needs two groups or more, by name of the perturbation."
        )
    return found


def _agreement(
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
