"""Genes that can be perturbed: their features, and the graph between latent dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import sparse

from ..._core.evidence import counts_again
from ..._core.messages import listed, many, say, shown
from ..rows import Rows, profiles
from .config import Config

# Control cells that components are computed from, at most.
_MAX_CELLS = 5_000
# Latent dimensions without a name, beside the genes of a given graph.
_N_FREE = 16


@dataclass(frozen=True)
class Targets:
    """What is known of the genes that can be perturbed."""

    features: np.ndarray  # genes x features, float32
    trained: np.ndarray  # which of these genes each training target is
    columns: np.ndarray  # column of each gene among the measured ones, -1 for none
    mask: np.ndarray  # the graph: latent x latent, boolean, strictly upper triangular
    node: np.ndarray  # the latent dimension that is named after each gene, -1 for none


def check_features(features: str | pd.DataFrame) -> None:
    """Refuse what is not a choice of features."""
    if isinstance(features, pd.DataFrame):
        _checked(features)
    elif not isinstance(features, str) or features not in {"influence", "pca", "onehot"}:
        raise ValueError(
            f"features={shown(features)} must be 'influence', 'pca', 'onehot' or a DataFrame with genes in its index."
        )


def features_of(
    config: Config, control: Rows, genes: Sequence[str], targets: Sequence[str], rng: np.random.Generator
) -> tuple[list[str], np.ndarray]:
    """Return the genes that have features, and these (genes x features, float32); kinds as in :func:`dko.tl.fit`."""
    if isinstance(config.features, pd.DataFrame):
        return _checked(config.features)
    if config.features == "onehot":
        return list(targets), np.eye(len(targets), dtype=np.float32)
    from sklearn.decomposition import TruncatedSVD

    n_cells = control.shape[0]
    few = n_cells <= _MAX_CELLS
    some = control[:] if few else control[np.sort(rng.choice(n_cells, _MAX_CELLS, replace=False))]
    by_effects = config.features == "influence"
    # A gene is a sample here; components of total effects keep their variances.
    if by_effects:
        samples = _total_effects(some).T
        samples -= samples.mean(axis=0)
    else:
        samples = (some.toarray() - np.asarray(some.mean(axis=0))).T
    n_components = max(1, min(config.n_components, min(samples.shape) - 1))
    scores = TruncatedSVD(n_components, random_state=int(rng.integers(2**31))).fit_transform(samples)
    spread = scores.std() if by_effects else scores.std(axis=0) if config.code == "neighbours" else 1.0
    return list(genes), np.ascontiguousarray(scores / np.maximum(spread, 1e-12), dtype=np.float32)


def _total_effects(control: sparse.csr_matrix) -> np.ndarray:
    """Return what the loss of each gene (column) does to every other, from log-normalised expression."""
    from ..dko.total import influence

    values = control[np.diff(control.indptr) > 0]
    values.data = np.expm1(values.data)
    counts = counts_again(values)
    totals = np.asarray((values if counts is None else counts).sum(axis=1, dtype=np.float64)).ravel()
    return influence(profiles(values), totals, counts=counts is not None)


def _checked(table: pd.DataFrame) -> tuple[list[str], np.ndarray]:
    names = [str(name) for name in table.index]
    if len(set(names)) < len(names):
        raise ValueError("The index of features=... names a gene more than once.")
    if words := [name for name, kind in table.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)]:
        raise ValueError(f"features=... has columns that hold no numbers: {listed(words)}; drop these.")
    values = table.to_numpy(dtype=np.float32)
    if not np.isfinite(values).all():
        bad = [name for name, row in zip(names, values, strict=True) if not np.isfinite(row).all()]
        raise ValueError(f"features=... has missing or infinite values for {listed(bad)}; drop these rows.")
    return names, values


def graph_of(graph: Any, names: Sequence[str], targets: Sequence[str], n_latent: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mask of a graph of training `targets` and 16 more, and the dimension of each of `names` (-1: none)."""
    node = np.full(len(names), -1)
    if isinstance(graph, str):
        if graph not in {"full", "none"}:
            raise ValueError(_NO_GRAPH.format(shown(graph)))
        return (full_mask(n_latent) if graph == "full" else np.zeros((n_latent, n_latent), dtype=bool)), node
    nodes, weights = _between(graph, targets)
    order, mask, dropped = ordered_mask(weights, _N_FREE)
    n_edges = mask[: len(nodes), : len(nodes)].sum()
    say(f"Graph: {many(len(nodes), 'gene')}, {many(n_edges, 'edge')}; left out, as they close cycles: {dropped}.")
    node[pd.Index(names).get_indexer([nodes[i] for i in order])] = np.arange(len(order))
    return mask, node


_NO_GRAPH = "graph={} must be 'full', 'none', or a network between genes: a square DataFrame or a networkx DiGraph."


def _between(graph: Any, targets: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Return the targets that are in a graph between genes, and the weights of the edges from each to each."""
    if hasattr(graph, "subgraph"):
        from networkx import to_pandas_adjacency

        if not graph.is_directed():
            raise ValueError("graph=... must be directed, a networkx DiGraph: an edge says which gene acts on which.")
        # Only these are made dense: a network may have many genes.
        known = set(targets)
        graph = to_pandas_adjacency(graph.subgraph([node for node in graph if str(node) in known]))
    if not isinstance(graph, pd.DataFrame):
        raise ValueError(_NO_GRAPH.format(shown(graph)))
    names = pd.Index([str(name) for name in graph.index])
    if list(names) != [str(name) for name in graph.columns]:
        raise ValueError("graph=... as a DataFrame needs the same genes, in the same order, as rows and columns.")
    if not names.is_unique:
        raise ValueError(f"graph=... has {listed(names[names.duplicated()].unique())} more than once.")
    nodes = [gene for gene in targets if gene in names]
    if not nodes:
        raise ValueError("graph=... shares no gene with the perturbations that are trained on; are its names symbols?")
    at = names.get_indexer(nodes)
    weights = graph.iloc[at, at].to_numpy(dtype=np.float64)
    if not np.isfinite(weights).all():
        raise ValueError("graph=... has missing or infinite weights; make them 0 where there is no edge.")
    return nodes, weights


def full_mask(n: int) -> np.ndarray:
    """Return the mask in which each dimension acts on all later ones (n x n, boolean)."""
    return np.triu(np.ones((n, n), dtype=bool), k=1)


def ordered_mask(weights: ArrayLike, n_free: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the order of the nodes, a mask with `n_free` further dimensions, and how many edges were left out."""
    edges = np.array(weights) != 0
    np.fill_diagonal(edges, False)
    order = acyclic_order(np.where(edges, weights, 0.0))
    n = len(order)
    mask = full_mask(n + n_free)
    mask[:n, :n] &= edges[np.ix_(order, order)]
    return order, mask, int(edges.sum() - mask[:n, :n].sum())


def acyclic_order(weights: ArrayLike) -> np.ndarray:
    """Order the nodes of a weighted directed graph (n x n, [i, j] from i to j) so that few edges point backwards.

    The greedy heuristic of Eades, Lin and Smyth (Information Processing Letters 47, 1993), which no library has.
    """
    left = np.abs(np.array(weights, dtype=np.float64))
    np.fill_diagonal(left, 0.0)
    remaining = np.ones(len(left), dtype=bool)
    first: list[int] = []
    last: list[int] = []
    while remaining.any():
        out, into = left.sum(axis=1), left.sum(axis=0)
        sinks = np.flatnonzero(remaining & (out == 0))
        # A source, or what has most to give.
        surplus = np.where(remaining, np.where(into == 0, np.inf, out - into), -np.inf)
        node = int(sinks[-1] if len(sinks) else surplus.argmax())
        (last if len(sinks) else first).append(node)
        remaining[node] = False
        left[node] = left[:, node] = 0.0
    return np.array(first + last[::-1], dtype=int)
