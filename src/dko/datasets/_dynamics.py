r"""Steady state of the regulatory dynamics: mathematics on arrays, no AnnData.

Gene j of a cell, with production factor h_j and decay B, follows

.. math:: \dot x_j = h_j \Big(\sum_{i: W_{ij} > 0} W_{ij} \frac{x_i}{1 + x_i}
          + \sum_{i: W_{ij} < 0} |W_{ij}| \frac{1}{1 + x_i}\Big) - B x_j

where i and j run over the genes present in the cell; absent genes stay at 0 and regulate nothing. With the
occupancy u_i = 1 / (1 + x_i) of present genes (0 for absent ones) and c_j the summed weights of the activators present,
the production is c - u W: one matrix product for all cells at once.

A cell has one steady state, whatever its positive start. In log x the map F(x) = h (c - u W) / B has a Jacobian whose
absolute row sums are at most 1, because a term of the production answers a relative change of its regulator by
1/(1+x) or x/(1+x) of it, both at most 1. So F never lets two states drift apart in the largest log ratio, and nor
does the flow of the differential equation. Plain iteration x <- F(x) therefore leads where the equation leads.
A present gene that nothing present produces, directly or through others, decays to 0: it has died out. It still
counts as present in the equation, so the genes that it would repress are free of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

Network: TypeAlias = "NDArray[np.float64] | sparse.csr_array"

TOLERANCE = 1e-10  # A cell has settled when no gene moves by more than this times (1 + x) in one iteration.
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
    *,
    production: NDArray[np.floating] | None = None,
    decay: float = 1.0,
    start: NDArray[np.floating] | None = None,
) -> NDArray[np.float64]:
    """Solve for the steady state of every cell.

    Parameters
    ----------
    presence
        Genes present, shape ``(n_cells, n_genes)``.
    network
        Signed weights, shape ``(n_genes, n_genes)``: row regulates column, positive activates, negative represses.
    production
        Factor on the production of every gene in every cell, shape ``(n_cells, n_genes)``. All 1 by default.
    decay
        Rate B, positive.
    start
        Where to start, shape ``(n_cells, n_genes)``. Present genes start at 1 by default, and where `start` is 0.
        It changes the time taken, not the answer.

    Returns
    -------
    Expression in units of the half-saturation level, float64, shape ``(n_cells, n_genes)``. Zero where a gene is absent
    or has died out.

    Raises
    ------
    RuntimeError
        If cells have not settled after ``MAX_ITERATIONS``.
    """
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
        gain = present / decay if production is None else present * production[rows] / decay
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
    """Iterate a block of cells in place, letting go of those that have settled; return how many have not."""
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
    presence: NDArray[np.bool_],
    network: Network,
    *,
    production: NDArray[np.floating] | None = None,
    decay: float = 1.0,
) -> NDArray[np.float64]:
    """Solve for the steady state of the genes that can last: those that die out are taken from the cell, in turn.

    Arguments as in :func:`steady_state`, and its result, with one thing added: it is the steady state of just the genes
    that it shows above 0, so the expressed genes of a cell are the genes present in it.
    """
    x = steady_state(presence, network, production=production, decay=decay)
    shrunk = np.flatnonzero((presence & (x == 0)).any(axis=1))
    while len(shrunk):
        lasting = x[shrunk] > 0
        factor = None if production is None else production[shrunk]
        x[shrunk] = steady_state(lasting, network, production=factor, decay=decay, start=x[shrunk])
        shrunk = shrunk[(lasting & (x[shrunk] == 0)).any(axis=1)]
    return x


def to_profile(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide every row by its sum; a row of zeros stays one."""
    total = x.sum(axis=1, keepdims=True)
    return np.divide(x, total, out=np.zeros_like(x), where=total > 0)
