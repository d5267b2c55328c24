"""Cells at the steady state of regulatory dynamics."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import ArrayLike
from scipy import sparse

from .._core.messages import listed
from .._core.verb import verb
from .._rng import RNG, generator
from . import _common
from ._common import poisson_counts, require, seed_noted
from ._dynamics import viable_steady_state
from ._truth import BLOCK_CELLS

_REGULATORS = 10  # Regulators per gene, on average, where no density is given: enough for nearly all genes to last.
_DRAWS = 100  # How often the genes of a cell are drawn anew when none of them lasts, before the network is blamed.


@verb
def grn(
    n_cells: int = 500,
    n_genes: int = 100,
    *,
    network: pd.DataFrame | ArrayLike | sparse.sparray | sparse.spmatrix | None = None,
    density: float | None = None,
    repression_share: float = 0.5,
    share_present: float | tuple[float, float] = 0.8,
    decay: float = 1.0,
    noise: float = 0.0,
    heterogeneity: float = 0.0,
    depth: float | None = None,
    rng: RNG = 0,
) -> AnnData:
    r"""Simulate cells in which genes regulate each other, with the truth beside them.

    Every cell has its own set of genes present, and sits at the steady state of

    .. math:: \dot x_j = h_j \Big(\sum_i W^{act}_{ij} \frac{x_i}{1 + x_i}
              + \sum_i W^{rep}_{ij} \frac{1}{1 + x_i}\Big) - B x_j

    where i and j run over the genes present in the cell. There is no basal production: genes that nothing present
    produces, directly or through others, are left out of a cell, and a cell in which no gene would last is drawn anew.

    Parameters
    ----------
    n_cells, n_genes
        Number of cells and, unless `network` is given, of genes.
    network
        Signed weights, genes x genes, dense or sparse, or a DataFrame with gene names on both axes: rows regulate
        columns, positive weights activate. Default: an Erdos-Renyi graph without self-loops, weights uniform in (0, 1].
    density, repression_share
        Of the default network: probability of an edge (by default 10 regulators per gene), and that it represses.
    share_present
        Share of the genes drawn for a cell, or the range from which every cell draws its share.
    decay
        Rate B.
    noise, heterogeneity
        Standard deviations of logs: of log-normal noise of mean 1 on every observed value; of the production factors h,
        log-normal of median 1, one per cell and gene.
    depth
        Mean number of counts per cell, Poisson around its profile with noise. By default X holds the values themselves.
    rng
        Seed or generator. Depth and noise leave the network and the true cells as they are.

    Returns
    -------
    AnnData of cells x genes with

    ``X``, ``layers["truth"]``, ``layers["production"]``
        Observed values or counts; the steady state without noise, in units of the half-saturation level; with
        `heterogeneity`, the production factors h of the genes present. CSR, float32.
    ``varp["network"]``, ``uns["grn"]``
        Signed weights, rows regulate columns, CSR, float64; parameters.

    Raises
    ------
    ValueError
        A parameter is out of range, the network is no square matrix of finite weights, or no gene lasts in a cell.

    Examples
    --------
    >>> adata = dko.datasets.grn(200, 30, rng=0)
    >>> adata.shape
    (200, 30)
    >>> adata.varp["network"].shape  # who regulates whom
    (30, 30)
    """
    low, high = np.broadcast_to(np.asarray(share_present, dtype=np.float64), 2).tolist()
    right = "give a share, or a range of shares, above 0 and up to 1"
    require(0 < low <= high <= 1, f"share_present is {share_present}: {right}")
    if density is None:
        density = min(_REGULATORS / max(n_genes - 1, 1), 1.0)
    for_network, for_cells, for_noise, for_counts = generator(rng).spawn(4)
    if network is None:
        weights, names = _draw_network(n_genes, density, repression_share, for_network), None
    else:
        weights, names = _read_network(network)
    names = names or [f"gene_{i}" for i in range(weights.shape[0])]
    truth, production = _cells(n_cells, weights, (low, high), decay, heterogeneity, for_cells)
    observed = truth.copy()
    if noise > 0:
        observed = _with_data(observed, observed.data * for_noise.lognormal(-(noise**2) / 2, noise, observed.nnz))
    if depth is not None:
        blocks = (observed[first : first + BLOCK_CELLS].toarray() for first in range(0, n_cells, BLOCK_CELLS))
        rates = (block / block.sum(axis=1, keepdims=True, dtype=np.float64) * depth for block in blocks)
        observed = sparse.vstack([poisson_counts(rate, for_counts) for rate in rates], format="csr")

    drawn = {"density": float(density), "repression_share": float(repression_share)} if network is None else {}
    params: dict[str, object] = {
        "n_cells": n_cells,
        "n_genes": len(names),
        "network": "erdos_renyi" if network is None else "given",
        "share_present": [low, high],
        "decay": float(decay),
        "noise": float(noise),
        "heterogeneity": float(heterogeneity),
        "depth": None if depth is None else float(depth),
        "rng": seed_noted(rng),
        **drawn,
    }
    adata = AnnData(
        observed,
        obs=pd.DataFrame(index=[f"cell_{i}" for i in range(n_cells)]),
        var=pd.DataFrame(index=names),
        layers={_common.TRUTH: truth} | ({_common.PRODUCTION: production} if heterogeneity > 0 else {}),
        uns={_common.GRN: params},
    )
    adata.varp[_common.NETWORK] = sparse.csr_matrix(weights)
    return adata


def _cells(
    n_cells: int,
    network: sparse.csr_array,
    share_range: tuple[float, float],
    decay: float,
    heterogeneity: float,
    rng: np.random.Generator,
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Draw which genes the cells have and how strongly these are produced, and solve for their steady states."""
    n_genes = network.shape[0]
    truths, factors = [], []
    for first in range(0, n_cells, BLOCK_CELLS):
        shape = (min(BLOCK_CELLS, n_cells - first), n_genes)
        # Rounded before they are used, so that the stored factors give the stored truth.
        factor = rng.lognormal(0.0, heterogeneity, shape) if heterogeneity > 0 else np.ones(shape)
        factor = factor.astype(np.float32)
        x = np.zeros(shape)
        for _ in range(_DRAWS):
            lifeless = np.flatnonzero(~x.any(axis=1))
            if not len(lifeless):
                break
            # The rounded share of the genes, at least one, at random.
            n_present = np.maximum(np.rint(rng.uniform(*share_range, size=(len(lifeless), 1)) * n_genes), 1)
            presence = rng.permuted(np.arange(n_genes) < n_present, axis=1)
            x[lifeless] = viable_steady_state(presence, network, factor[lifeless], decay)
        truths.append(sparse.csr_matrix(x.astype(np.float32)))
        factors.append(_with_data(truths[-1], factor[x > 0]))
    truth = sparse.vstack(truths, format="csr")
    n_lifeless = int((np.diff(truth.indptr) == 0).sum())
    require(
        not n_lifeless,
        f"No gene lasts in {n_lifeless} of {n_cells} cells: raise density, share_present or weights, or lower decay",
    )
    return truth, sparse.vstack(factors, format="csr")


def _with_data(like: sparse.csr_matrix, data: np.ndarray) -> sparse.csr_matrix:
    """Return a float32 matrix of other values on the same pattern."""
    return sparse.csr_matrix((data.astype(np.float32), like.indices.copy(), like.indptr.copy()), shape=like.shape)


def _draw_network(n_genes: int, density: float, repression_share: float, rng: np.random.Generator) -> sparse.csr_array:
    """Draw a directed Erdos-Renyi graph without self-loops, weights uniform in (0, 1], rows regulate columns."""
    n_pairs = n_genes * (n_genes - 1)
    pairs = rng.choice(n_pairs, size=rng.binomial(n_pairs, density), replace=False, shuffle=False)
    source, target = np.divmod(pairs, max(n_genes - 1, 1))
    target += target >= source  # Step over the gene itself.
    weight = 1.0 - rng.random(len(pairs))
    weight[rng.random(len(pairs)) < repression_share] *= -1
    return sparse.csr_array((weight, (source, target)), shape=(n_genes, n_genes))


def _read_network(
    network: pd.DataFrame | ArrayLike | sparse.sparray | sparse.spmatrix,
) -> tuple[sparse.csr_array, list[str] | None]:
    """Return the signed weights of a network that the user gives, and its gene names, if any."""
    names = None
    if isinstance(network, pd.DataFrame):
        network = network.rename(index=str, columns=str)
        names = list(network.index)
        odd = set(names) ^ set(network.columns)
        require(not odd, f"The network has {listed(sorted(odd))} on one axis only: both must name the same genes")
        twice = {name for axis in network.axes for name in axis[axis.duplicated()]}
        require(not twice, f"The network names {listed(sorted(twice))} more than once: make the gene names unique")
        network = network[names].to_numpy()
    weights = sparse.csr_array(network, dtype=np.float64, copy=True)
    if weights.ndim != 2 or weights.shape[0] != weights.shape[1] or not weights.shape[0]:
        raise ValueError(f"The network has shape {weights.shape}: give a square matrix, genes x genes.")
    if not np.isfinite(weights.data).all():
        raise ValueError("The network has weights that are NaN or infinite: replace them, by 0 where there is no edge.")
    weights.sum_duplicates()
    weights.eliminate_zeros()
    return weights, names
