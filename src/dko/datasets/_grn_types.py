"""Cells of several types, which differ in the activity of master regulators."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from scipy.special import expit

from .._core.verb import verb
from .._rng import RNG, generator
from . import _common
from ._common import poisson_counts, require, seed_noted
from ._dynamics import hill_levels

_ACTIVITIES = (0.05, 0.3, 1.5)  # Of a master regulator in a type: nearly off, low, high.
_MASTERS = 0.05  # Share of the genes that are master regulators, where no number is given.
_SLOPE = 6.5  # Of the logistic curve of dropout, as in the examples of SERGIO.
_SCALE = 1.0  # Standard deviation of the log scale of genes: mean levels span two orders of magnitude.


@verb
def grn_types(
    n_cells: int = 1_000,
    n_genes: int = 200,
    *,
    n_types: int = 5,
    n_masters: int | None = None,
    regulating_share: float = 0.1,
    n_regulators: tuple[int, int] = (1, 4),
    copying: float = 0.5,
    repression_share: float = 0.4,
    noise: float = 0.4,
    depth: float = 1_000,
    library: float = 0.4,
    dropout: float | None = 25.0,
    rng: RNG = 0,
) -> AnnData:
    r"""Simulate cells of several types, with the truth, after SERGIO (https://doi.org/10.1016/j.cels.2020.08.003).

    The network has no cycle: its first genes are master regulators, which nothing regulates, and every other gene is
    regulated by a few of the genes before it that regulate at all. Those that do not are in modules of very different
    size with the same regulators. Gene j of cell c has the level

    .. math:: x_{cj} = e_{cj} \, b_{t(c) j} \quad\text{(masters)}, \qquad
              x_{cj} = e_{cj} \sum_i |K_{ij}| \, H_{ij}(x_{ci}), \qquad
              H_{ij}(x) = \begin{cases} x^2 / (h_i^2 + x^2) & K_{ij} > 0 \\ h_i^2 / (h_i^2 + x^2) & K_{ij} < 0
              \end{cases}

    the steady state at decay rate 1. Types t differ in the basal production b of masters alone, nearly off, low or high
    at random (0.05, 0.3 or 1.5 times the scale of the gene). The noise e is log-normal, the half-response h the mean
    level of the regulator. Scales of genes, a factor of K and b, are log-normal with standard deviation 1.

    Expected counts are proportional to the levels times a log-normal library size. A value is lost with a probability
    that falls with log(1 + expected count), logistic of slope 6.5; the others are drawn from a Poisson distribution.

    Parameters
    ----------
    n_cells, n_genes, n_types
        Number of cells, genes and types. Types are of equal size, the cells in random order.
    n_masters
        Number of master regulators; by default 5 % of the genes, and at least 1.
    regulating_share
        Share of the genes that may regulate others: the first ones, masters included.
    n_regulators
        Range, ends included, of the number of regulators of every other gene (all, where fewer are possible).
    copying
        Share of the genes that regulate nothing whose regulators, and their signs, are those of another such gene.
    repression_share
        Probability that an edge represses.
    noise, library
        Standard deviation of the log of the noise e, and of the library size.
    depth
        Mean number of counts per cell, about, before any is lost to dropout.
    dropout
        Percentile of the log expected counts at which half of the values are lost; None for no loss.
    rng
        Seed or generator. Depth and dropout leave the true cells as they are.

    Returns
    -------
    AnnData of cells x genes with

    ``X``, ``layers["truth"]``, ``layers["production"]``
        Counts, levels x, and factors on the production (e, for master regulators times b), CSR, float32.
    ``obs["cell_type"]``
        ``"type_0"`` and so on.
    ``var["half_response"]``, ``varm["basal"]``
        h; b of master regulators, 0 for other genes, DataFrame, genes x types, float64.
    ``varp["network"]``
        K, positive where the row activates the column, negative where it represses it, CSR, float64.
    ``uns["grn"]``
        Parameters, and ``"dropout_midpoint"``, the log(1 + expected count) at which half of the values are lost.

    Examples
    --------
    >>> adata = dko.datasets.grn_types(300, 60, n_types=3, rng=0)
    >>> adata.obs["cell_type"].value_counts().tolist()
    [100, 100, 100]
    """
    n_masters = max(round(_MASTERS * n_genes), 1) if n_masters is None else n_masters
    require(n_types <= n_cells, f"n_types is {n_types}: give at most n_cells={n_cells}")
    require(n_masters <= n_genes, f"n_masters is {n_masters}: give at most n_genes={n_genes}")
    whole = np.shape(n_regulators) == (2,) and all(isinstance(number, int | np.integer) for number in n_regulators)
    require(
        whole and 1 <= n_regulators[0] <= n_regulators[1],
        f"n_regulators is {n_regulators}: give a range of two whole numbers from 1 on, the fewest first",
    )
    shares = {"regulating_share": regulating_share, "copying": copying, "repression_share": repression_share}
    for_network, for_types, for_cells, for_counts = generator(rng).spawn(4)
    scale = for_network.lognormal(0.0, _SCALE, n_genes)
    network = scale * _draw_network(
        n_genes,
        n_masters=n_masters,
        n_regulating=max(round(regulating_share * n_genes), n_masters),
        n_regulators=n_regulators,
        copying=copying,
        repression_share=repression_share,
        rng=for_network,
    )
    basal = np.zeros((n_genes, n_types))
    basal[:n_masters] = scale[:n_masters, None] * for_types.choice(_ACTIVITIES, (n_masters, n_types))
    types = for_cells.permutation(np.arange(n_cells) % n_types)
    production = for_cells.lognormal(-(noise**2) / 2, noise, (n_cells, n_genes))
    production[:, :n_masters] *= basal[:n_masters, types].T
    production = production.astype(np.float32)  # Rounded before it is used, so that what is stored gives the truth.
    truth, half_response = hill_levels(production, network)
    expected = for_counts.lognormal(-(library**2) / 2, library, (n_cells, 1)) * truth
    expected *= depth / truth.sum(axis=1).mean()
    logs, midpoint, kept = np.log1p(expected), None, None
    if dropout is not None:
        midpoint = float(np.percentile(logs, dropout))
        kept = expit(_SLOPE * (logs - midpoint))

    cell_type = pd.Categorical.from_codes(types, [f"type_{number}" for number in range(n_types)])
    adata = AnnData(
        poisson_counts(expected, for_counts, kept),
        obs=pd.DataFrame({"cell_type": cell_type}, index=[f"cell_{i}" for i in range(n_cells)]),
        var=pd.DataFrame({_common.HALF_RESPONSE: half_response}, index=[f"gene_{i}" for i in range(n_genes)]),
        layers={
            _common.TRUTH: sparse.csr_matrix(truth.astype(np.float32)),
            _common.PRODUCTION: sparse.csr_matrix(production),
        },
    )
    adata.varm["basal"] = pd.DataFrame(basal, index=adata.var_names, columns=adata.obs["cell_type"].cat.categories)
    adata.varp[_common.NETWORK] = sparse.csr_matrix(network)
    numbers = {"noise": noise, "depth": depth, "library": library, **shares}
    adata.uns[_common.GRN] = {
        "n_cells": n_cells,
        "n_genes": n_genes,
        "network": _common.ACYCLIC,
        "n_types": n_types,
        "n_masters": n_masters,
        "n_regulators": [int(number) for number in n_regulators],
        **{name: float(number) for name, number in numbers.items()},
        "dropout": None if dropout is None else float(dropout),
        "dropout_midpoint": midpoint,
        "rng": seed_noted(rng),
    }
    return adata


def _draw_network(
    n_genes: int,
    *,
    n_masters: int,
    n_regulating: int,
    n_regulators: tuple[int, int],
    copying: float,
    repression_share: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw a directed graph without a cycle, genes x genes: the first `n_regulating` genes regulate later ones."""
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
