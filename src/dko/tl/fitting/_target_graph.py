"""The graph between latent dimensions that a user asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
from scipy import sparse

from ..._core.messages import listed, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...models.sccvae import Cells
    from ._target_features import Features

Graph: TypeAlias = "str | pd.DataFrame | sparse.spmatrix | Any"

# Share of the edges of the full graph that a random one has.
_DENSITY = 0.03
# Latent dimensions without a name, beside the genes of a given graph.
_N_FREE = 16


@dataclass(frozen=True)
class TargetGraph:
    """A mask between latent dimensions.

    Attributes
    ----------
    kind
        What was asked for.
    mask
        Latent x latent, boolean, strictly upper triangular.
    node
        Latent dimension of each gene that can be perturbed, -1 for none.
    """

    kind: str
    mask: np.ndarray
    node: np.ndarray


def target_graph(
    graph: Graph,
    described: Features,
    trained: Mapping[str, list[str]],
    training: Cells,
    genes: list[str],
    n_latent: int,
    rng: np.random.Generator,
) -> TargetGraph:
    """Return the mask of a graph: ``"full"``, ``"none"``, ``"random"``, ``"effects"``, or one between genes.

    A graph between genes (DataFrame, sparse matrix over the genes that can be perturbed, or networkx DiGraph) is
    restricted to the targets that are trained on; each of these that it has gets a dimension of its own, 16 more
    dimensions belong to none.
    """
    from ...models.sccvae import full_mask, ordered_mask, random_mask

    targets = sorted({gene for members in trained.values() for gene in members})
    unnamed = np.full(len(described.names), -1)
    if isinstance(graph, str) and graph != "effects":
        masks = {
            "full": full_mask,
            "none": lambda n: np.zeros((n, n), dtype=bool),
            "random": lambda n: random_mask(n, _DENSITY, rng),
        }
        if graph not in masks:
            raise ValueError(
                f"graph={graph!r} must be 'full', 'none', 'random', 'effects', or a network: a square DataFrame, a "
                "sparse matrix or a networkx DiGraph."
            )
        return TargetGraph(graph, masks[graph](n_latent), unnamed)
    if isinstance(graph, str):
        kind, nodes, weights = "effects", *_from_effects(trained, training, genes)
    else:
        kind, nodes, weights = "given", *_between(graph, described.names, targets)
    order, mask, dropped = ordered_mask(weights, _N_FREE)
    n_edges = mask[: len(nodes), : len(nodes)].sum()
    say(f"Graph: {len(nodes)} genes, {n_edges} edges; {dropped} that close cycles were left out.")
    node = unnamed.copy()
    node[described.position([nodes[i] for i in order])] = np.arange(len(order))
    return TargetGraph(kind, mask, node)


def _between(graph: Any, genes: list[str], targets: list[str]) -> tuple[list[str], np.ndarray]:
    """Return the targets that are in a graph between genes, and the weights of the edges from each to each.

    Only these are made dense: a network may have many genes.
    """
    if hasattr(graph, "edges") and hasattr(graph, "nodes"):
        names = [str(node) for node in graph.nodes]
    elif isinstance(graph, pd.DataFrame):
        names = [str(name) for name in graph.index]
        if names != [str(name) for name in graph.columns]:
            raise ValueError("graph=... as a DataFrame needs the same genes, in the same order, as rows and columns.")
    elif sparse.issparse(graph) and graph.shape == (len(genes), len(genes)):
        names = genes
    else:
        raise ValueError(
            "graph=... between genes must be a square DataFrame, a networkx DiGraph, or a sparse matrix over the "
            f"{len(genes)} genes that can be perturbed."
        )
    if not (index := pd.Index(names)).is_unique:
        raise ValueError(f"graph=... has {listed(index[index.duplicated()].unique())} more than once.")
    nodes = [gene for gene in targets if gene in index]
    if not nodes:
        raise ValueError("graph=... shares no gene with the perturbations that are trained on; are its names symbols?")
    weights = _weights(graph, nodes, index.get_indexer(nodes))
    if not np.isfinite(weights).all():
        raise ValueError("graph=... has missing or infinite weights; make them 0 where there is no edge.")
    return nodes, weights


def _weights(graph: Any, nodes: list[str], at: np.ndarray) -> np.ndarray:
    """Return nodes x nodes of a graph in which these are at the places `at`."""
    if isinstance(graph, pd.DataFrame):
        return graph.iloc[at, at].to_numpy(dtype=np.float64)
    if sparse.issparse(graph):
        return graph.tocsr()[at][:, at].toarray().astype(np.float64)
    if not graph.is_directed():
        raise ValueError("graph=... must be directed, a networkx DiGraph: an edge says which gene acts on which.")
    weights, position = np.zeros((len(nodes), len(nodes))), {gene: number for number, gene in enumerate(nodes)}
    for source, sink, weight in graph.edges(data="weight", default=1.0):
        if str(source) in position and str(sink) in position:
            weights[position[str(source)], position[str(sink)]] = weight
    return weights


def _from_effects(trained: Mapping[str, list[str]], training: Cells, genes: list[str]) -> tuple[list[str], np.ndarray]:
    """Return the measured targets of single perturbations, and what each does to the others' expression."""
    from ...models.sccvae import effect_graph

    column = {gene: number for number, gene in enumerate(genes)}
    single = {number: of[0] for number, of in enumerate(trained.values()) if len(of) == 1 and of[0] in column}
    if len(single) < 2:
        raise ValueError("graph='effects' needs perturbations of at least 2 single, measured genes to estimate edges.")
    effects = _standard_errors(training, list(single), np.array([column[gene] for gene in single.values()]))
    return list(single.values()), effect_graph(effects, np.arange(len(single)))


def _standard_errors(training: Cells, numbers: list[int], columns: np.ndarray) -> np.ndarray:
    """Return changes of the mean of some genes, in standard errors: perturbations x these genes."""
    values = training.values[:, columns].toarray().astype(np.float64)

    def moments(number: int) -> tuple[np.ndarray, np.ndarray]:
        own = values[training.perturbation == number]
        return own.mean(axis=0), own.var(axis=0) / len(own)

    mean, variance = moments(-1)
    of = [moments(number) for number in numbers]
    return np.array([(m - mean) / np.sqrt(np.maximum(v + variance, 1e-12)) for m, v in of])
