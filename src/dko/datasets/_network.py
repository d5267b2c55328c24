"""Regulatory networks: drawn at random, or read from what the user gives."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from .._core.messages import listed

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def draw_network(
    n_genes: int, *, density: float, repression_share: float, rng: np.random.Generator
) -> sparse.csr_array:
    """Draw a directed Erdos-Renyi graph without self-loops.

    Every ordered pair of genes is an edge with probability `density`, of a weight uniform in (0, 1], and negative
    (repressing) with probability `repression_share`. Returns float64, shape ``(n_genes, n_genes)``, rows regulate
    columns. Takes memory for the edges only.
    """
    n_pairs = n_genes * (n_genes - 1)
    pairs = rng.choice(n_pairs, size=rng.binomial(n_pairs, density), replace=False, shuffle=False)
    source, target = np.divmod(pairs, max(n_genes - 1, 1))
    target += target >= source  # Step over the gene itself.
    weight = 1.0 - rng.random(len(pairs))
    weight[rng.random(len(pairs)) < repression_share] *= -1
    return sparse.csr_array((weight, (source, target)), shape=(n_genes, n_genes))


def draw_acyclic_network(
    n_genes: int,
    *,
    n_masters: int,
    n_regulating: int,
    n_regulators: tuple[int, int],
    copying: float,
    repression_share: float,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Draw a directed graph without a cycle, whose first genes have no regulators.

    The first `n_regulating` genes, masters among them, regulate. Every gene but the masters has a number of regulators,
    uniform in the range `n_regulators`, among those of them before it, each of which represses it with probability
    `repression_share`. Of the genes that do not regulate, a share `copying` has the regulators and signs of an earlier
    one instead, so that modules of very different size grow. Weights are uniform in 1 to 5. Returns shape
    ``(n_genes, n_genes)``, rows regulate columns.
    """
    signs = np.zeros((n_genes, n_genes))
    for gene in range(n_masters, n_genes):
        if gene > n_regulating and rng.random() < copying:
            signs[:, gene] = signs[:, rng.integers(n_regulating, gene)]
            continue
        possible = min(gene, n_regulating)
        number = min(int(rng.integers(*n_regulators, endpoint=True)), possible)
        chosen = rng.choice(possible, number, replace=False)
        signs[chosen, gene] = np.where(rng.random(number) < repression_share, -1.0, 1.0)
    return signs * rng.uniform(1, 5, signs.shape)


def read_network(
    network: pd.DataFrame | ArrayLike | sparse.sparray | sparse.spmatrix,
) -> tuple[sparse.csr_array, list[str]]:
    """Return the signed weights (float64 CSR) and gene names of a network that the user gives.

    Raises
    ------
    ValueError
        If the matrix is not square, empty or not finite, or if rows and columns of a DataFrame name other genes.
    """
    names = None
    if isinstance(network, pd.DataFrame):
        names = [str(name) for name in network.index]
        _require_same_names(names, [str(name) for name in network.columns])
        network = network.set_axis(names, axis=0).set_axis([str(c) for c in network.columns], axis=1)[names].to_numpy()
    weights = sparse.csr_array(network, dtype=np.float64, copy=True)
    if weights.ndim != 2 or weights.shape[0] != weights.shape[1] or not weights.shape[0]:
        raise ValueError(f"The network has shape {weights.shape}: give a square matrix, genes x genes.")
    if not np.isfinite(weights.data).all():
        raise ValueError("The network has weights that are NaN or infinite: replace them, by 0 where there is no edge.")
    weights.sum_duplicates()
    weights.eliminate_zeros()
    return weights, names or [f"gene_{i}" for i in range(weights.shape[0])]


def _require_same_names(rows: list[str], columns: list[str]) -> None:
    """Raise a ValueError unless both axes name the same genes, each once."""
    twice = sorted({name for names in (rows, columns) for name, times in Counter(names).items() if times > 1})
    if twice:
        raise ValueError(f"The network names {listed(twice)} more than once: make the gene names unique.")
    odd = sorted(set(rows) ^ set(columns))
    if odd:
        raise ValueError(f"The network has {listed(odd)} on one axis only: rows and columns must name the same genes.")
