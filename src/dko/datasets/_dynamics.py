"""Levels of genes that regulate each other: mathematics on arrays; :func:`dko.datasets.grn` has the equations.

A cell of ``grn`` has one steady state, whatever its positive start: in log x, absolute row sums of the Jacobian of F(x)
= production / decay are at most 1, as a term answers a relative change of its regulator by 1/(1+x) or x/(1+x) of it. So
plain iteration x <- F(x) leads where the equation leads. A present gene that nothing present produces decays to 0, and
the genes that it would repress are free of it.
"""

from __future__ import annotations

import networkx as nx
import numpy as np
from scipy import sparse

TOLERANCE = 1e-10  # A cell has settled when no gene changes by more than this times (1 + x) in one iteration.
EXTINCT = 1e-6  # A gene below this, in units of the half-saturation level, has died out and is set to 0.
MAX_ITERATIONS = 100_000  # About 20 are usual; thousands where activation barely keeps a group of genes alive.
_BLOCK_CELLS = 64  # Iterated together, until all of them have settled.


def steady_state(
    presence: np.ndarray,
    network: sparse.csr_array,
    production: np.ndarray,
    decay: float,
    start: np.ndarray | float = 1.0,
) -> np.ndarray:
    """Return the steady state of every cell, cells x genes, 0 where a gene is absent or dies, whatever the `start`."""
    x = np.where(presence, start, 0.0).astype(np.float64)
    activation, unsettled = network.maximum(0), 0
    for first in range(0, len(x), _BLOCK_CELLS):
        rows = slice(first, first + _BLOCK_CELLS)
        present = presence[rows].astype(np.float64)
        gain, activators = present * production[rows] / decay, present @ activation
        current, moving = x[rows], np.ones(len(present), dtype=bool)
        for _ in range(MAX_ITERATIONS):
            # Rounding leaves -1e-17 where activators have died out.
            new = np.maximum(gain * (activators - (present / (1.0 + current)) @ network), 0.0)
            changes = (np.abs(new - current) > TOLERANCE * (1.0 + new)).any(axis=1)
            # Those that have settled stay as they are, so that no cell depends on the others.
            current[moving] = new[moving]
            moving &= changes
            if not moving.any():
                break
        unsettled += int(moving.sum())
    if unsettled:
        raise RuntimeError(
            f"{unsettled} of {len(x)} cells did not settle in {MAX_ITERATIONS} iterations, because activation barely "
            "keeps some genes alive; change decay or the weights of the network by a few per cent."
        )
    x[x < EXTINCT] = 0.0
    return x


def viable_steady_state(
    presence: np.ndarray, network: sparse.csr_array, production: np.ndarray, decay: float
) -> np.ndarray:
    """Return the steady state of the genes that can last: those that die out are taken from the cell, in turn."""
    x = steady_state(presence, network, production, decay)
    shrunk = np.flatnonzero((presence & (x == 0)).any(axis=1))
    while len(shrunk):
        lasting = x[shrunk] > 0
        x[shrunk] = steady_state(lasting, network, production[shrunk], decay, start=x[shrunk])
        shrunk = shrunk[(lasting & (x[shrunk] == 0)).any(axis=1)]
    return x


def hill_levels(
    factor: np.ndarray, network: np.ndarray, half_response: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return levels, cells x genes, and half-responses: by default the mean levels over these cells."""
    graph = nx.DiGraph(np.argwhere(network).tolist())
    graph.add_nodes_from(range(len(network)))
    if not nx.is_directed_acyclic_graph(graph):
        raise ValueError("The network has a cycle: use varp['network'] as dko.datasets.grn_types() returned it.")
    x = factor.astype(np.float64)
    occupancy = np.empty_like(x)
    half = np.empty(x.shape[1]) if half_response is None else half_response
    # First genes that nothing regulates, then those that only these regulate, and so on.
    for genes in nx.topological_generations(graph):
        regulators = np.flatnonzero(network[:, genes].any(axis=1))
        if len(regulators):
            weights = network[np.ix_(regulators, genes)]
            production = occupancy[:, regulators] @ weights - weights.clip(max=0).sum(axis=0)
            x[:, genes] *= production.clip(min=0)  # Rounding leaves -1e-17 where a repressor saturates.
        if half_response is None:
            half[genes] = x[:, genes].mean(axis=0)
        squares = x[:, genes] ** 2
        occupancy[:, genes] = squares / (half[genes] ** 2 + squares)
    return x, half
