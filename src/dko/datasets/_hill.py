r"""Levels of genes that regulate each other in one direction only, by Hill kinetics: mathematics on arrays, no AnnData.

With the occupancy :math:`u_i = x_i^2 / (h_i^2 + x_i^2)` of a regulator i at its half-response h_i, gene j has the level

.. math:: x_j = f_j \Big(\sum_{i: W_{ij} > 0} W_{ij} u_i + \sum_{i: W_{ij} < 0} |W_{ij}| (1 - u_i)\Big)

where f_j is a factor of the cell; a gene that nothing regulates has the level f_j. The sum is u W less the summed
negative weights: one matrix product for all cells and all genes whose regulators are known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


def hill_levels(
    factor: NDArray[np.floating],
    network: NDArray[np.float64],
    *,
    half_response: NDArray[np.float64] | None = None,
    removed: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Solve for the levels of all genes, regulators before what they regulate.

    Parameters
    ----------
    factor
        f, shape ``(n_cells, n_genes)``.
    network
        Signed weights W without a cycle, shape ``(n_genes, n_genes)``: row regulates column.
    half_response
        h, shape ``(n_genes,)``; by default the mean level over these cells.
    removed
        Genes whose level is 0, shape ``(n_cells, n_genes)`` or one that broadcasts to it. None by default.

    Returns
    -------
    Levels, float64, shape ``(n_cells, n_genes)``, and half-responses, shape ``(n_genes,)``.
    """
    x = factor.astype(np.float64)
    if removed is not None:
        x *= ~removed
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
