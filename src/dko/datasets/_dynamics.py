"""Levels of genes that regulate each other: mathematics on arrays; :func:`dko.datasets.grn` has the equations.

A cell of ``grn`` has one steady state, whatever its positive start: in log x, absolute row sums of the Jacobian of F(x)
= production / decay are at most 1, as a term answers a relative change of its regulator by 1/(1+x) or x/(1+x) of it. So
plain iteration x <- F(x) leads where the equation leads. A present gene that nothing present produces decays to 0, and
the genes that it would repress are free of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

Network: TypeAlias = "NDArray[np.float64] | sparse.csr_array"

TOLERANCE = 1e-10  # A cell has settled when no gene changes by more than this times (1 + x) in one iteration.
EXTINCT = 1e-6  # A gene below this, in units of the half-saturation level, has died out and is set to 0.
MAX_ITERATIONS = 100_000  # About 20 are usual; thousands where activation barely keeps a group of genes alive.
_BLOCK_ELEMENTS = 2**14  # Cells x genes iterated together, 128 kB in float64: the temporaries stay in the cache.
_BLOCK_ROWS = 64  # At least this many cells together, so that the matrix product stays efficient with many genes.
_DENSE_ABOVE = 0.03  # Share of edges above which a dense matrix product beats a sparse one.


def compact(network: sparse.csr_array) -> Network:
    """Return the network in the form, dense or sparse, that multiplies faster."""
    n_genes = network.shape[0]
    return network.toarray() if network.nnz > _DENSE_ABOVE * n_genes**2 else network


def steady_state(
    presence: NDArray[np.bool_],
    network: Network,
    production: NDArray[np.floating],
    decay: float,
    start: NDArray[np.floating] | None = None,
) -> NDArray[np.float64]:
    """Return the steady state of every cell, cells x genes, 0 where a gene is absent or dies, whatever the `start`."""
    activation = network * (network > 0)
    x = np.where(presence, 1.0, 0.0)
    if start is not None:
        np.copyto(x, start, where=presence & (start > 0))
    n_cells, n_genes = x.shape
    n_rows = max(_BLOCK_ROWS, _BLOCK_ELEMENTS // max(n_genes, 1))
    unsettled = 0
    for first in range(0, n_cells, n_rows):
        rows = slice(first, first + n_rows)
        present = presence[rows].astype(np.float64)
        gain = present * production[rows] / decay
        unsettled += _settle(x[rows], present, gain, present @ activation, network)
    if unsettled:
        raise RuntimeError(
            f"{unsettled} of {n_cells} cells did not settle in {MAX_ITERATIONS} iterations, because activation barely "
            "keeps some genes alive; change decay or the weights of the network by a few per cent."
        )
    x[x < EXTINCT] = 0.0
    return x


def _settle(
    x: NDArray[np.float64],
    present: NDArray[np.float64],
    gain: NDArray[np.float64],
    activators: NDArray[np.float64],
    network: Network,
) -> int:
    """Iterate a block of cells in place, dropping those that have settled; return how many have not."""
    moving = np.arange(len(x))
    current = x.copy()
    for _ in range(MAX_ITERATIONS):
        new = activators - (present / (1.0 + current)) @ network
        new *= gain
        np.maximum(new, 0.0, out=new)  # Rounding leaves -1e-17 where activators have died out.
        still = (np.abs(new - current) > TOLERANCE * (1.0 + new)).any(axis=1)
        current = new
        if not still.all():
            x[moving[~still]] = new[~still]
            moving, current, present = moving[still], new[still], present[still]
            gain, activators = gain[still], activators[still]
            if not len(moving):
                return 0
    return len(moving)


def viable_steady_state(
    presence: NDArray[np.bool_], network: Network, production: NDArray[np.floating], decay: float
) -> NDArray[np.float64]:
    """Return the steady state of the genes that can last: those that die out are taken from the cell, in turn."""
    x = steady_state(presence, network, production, decay)
    shrunk = np.flatnonzero((presence & (x == 0)).any(axis=1))
    while len(shrunk):
        lasting = x[shrunk] > 0
        x[shrunk] = steady_state(lasting, network, production[shrunk], decay, start=x[shrunk])
        shrunk = shrunk[(lasting & (x[shrunk] == 0)).any(axis=1)]
    return x


def hill_levels(
    factor: NDArray[np.floating], network: NDArray[np.float64], half_response: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return levels, cells x genes, and half-responses: by default the mean levels over these cells."""
    x = factor.astype(np.float64)
    occupancy = np.empty_like(x)
    half = np.empty(x.shape[1]) if half_response is None else half_response
    for genes in _layers(network != 0):
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


def _layers(edges: NDArray[np.bool_]) -> Iterator[NDArray[np.intp]]:
    """Yield the genes in turn: first those that nothing regulates, then those that only these regulate, and so on."""
    left = np.ones(len(edges), dtype=bool)
    while left.any():
        ready = left & ~edges[left].any(axis=0)
        if not ready.any():
            raise ValueError("The network has a cycle: use varp['network'] as dko.datasets.grn_types() returned it.")
        yield np.flatnonzero(ready)
        left &= ~ready
