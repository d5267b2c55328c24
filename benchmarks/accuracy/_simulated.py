"""Simulated cells whose knockouts are known exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from scipy import sparse
from scipy.stats import spearmanr

import dko

from ._models import DEFAULT, models
from ._row import decision, effects, rows
from ._targets import simulated
from ._truth import agreement, baselines, strongest, true_effects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from anndata import AnnData

    from ._job import Job
    from ._row import Row
    from ._targets import Target

    Scores = Callable[[np.ndarray], dict[str, float]]
    """Predicted effects, genes x genes -> scores."""
    Matrix: TypeAlias = "sparse.sparray | sparse.spmatrix"

CLEAN, NOISE, DEEP, SHALLOW = "noise-free", "noise 0.3", "depth 2,000", "depth 500"
_COUNTED = {"n_cells": 1500, "share_present": 0.9, "heterogeneity": 0.5}
SETTINGS: dict[str, dict[str, Any]] = {
    CLEAN: {"n_cells": 500, "share_present": 0.8},
    NOISE: {"n_cells": 500, "share_present": 0.8, "noise": 0.3},
    DEEP: {**_COUNTED, "depth": 2000},
    SHALLOW: {**_COUNTED, "depth": 500},
}
N_NETWORKS = 3
FILES: tuple[str, ...] = ()


def jobs(seeds: int, quick: bool) -> Iterator[Job]:
    for setting in [CLEAN] if quick else SETTINGS:
        for network in range(1 if quick else N_NETWORKS):
            yield measure, {"setting": setting, "network": network, "seeds": seeds, "quick": quick}


def network_of(seed: int, n_genes: int) -> np.ndarray:
    """Draw a network: edges with probability 0.1, 60 % activating, weights uniform in 0.5 to 2, no self-loops."""
    rng = np.random.default_rng(seed)
    weights = (rng.random((n_genes, n_genes)) < 0.1) * rng.uniform(0.5, 2, (n_genes, n_genes))
    np.fill_diagonal(weights, 0)
    return weights * np.where(rng.random((n_genes, n_genes)) < 0.6, 1, -1)


def measure(setting: str, network: int, seeds: int, quick: bool) -> list[Row | Target]:
    """Return the scores of all methods on the cells of one network."""
    how = SETTINGS[setting] | ({"n_cells": 60} if quick else {})
    cells = dko.datasets.grn(network=network_of(network, 30 if quick else 100), rng=network, decay=1.0, **how)
    return list(against_truth(setting, network, cells, seeds, quick))


def against_truth(
    data: str,
    network: int,
    cells: AnnData,
    seeds: int,
    quick: bool,
    further: Scores | None = None,
    measured: np.ndarray | None = None,
) -> Iterator[Row | Target]:
    """Yield the agreement of effects and of impacts with the truth, for models and baselines.

    `further` has scores of effects besides, which the true effects get too. `measured` are the genes that the methods
    see, all by default.
    """
    true, impact = true_effects(cells, measured), dko.datasets.grn_impact(cells)
    if measured is not None:
        cells, impact = cells[:, measured].copy(), impact[:, measured]
    strong = strongest(true)
    truth = simulated(data, network, cells, true, strong)
    yield from truth.ceiling()

    def scores(predicted: np.ndarray) -> dict[str, float]:
        effect = {"effect": agreement(predicted, true), "effect_strong": agreement(predicted[strong], true[strong])}
        return effect | (further(predicted) if further else {})

    for names, seed, fitted in models(cells, range(seeds), quick=quick):
        dko.tl.scan(fitted)
        of_impacts = {"impact": _rank_correlation(fitted.layers["dko_impact"], cells, impact)}
        predicted = effects(fitted)
        yield from rows(data, names, scores(predicted) | of_impacts, network=network, seed=seed)
        yield from truth.rows(names, predicted, seed)
        if DEFAULT in names:
            yield from rows(data, [DEFAULT], decision(fitted), network=network, seed=seed)
    for name, predicted in baselines(cells, np.arange(cells.n_vars), network).items():
        yield from rows(data, [name], scores(predicted), network=network)
        yield from truth.rows([name], predicted)
    share = sparse.csr_array(cells.X / cells.X.sum(axis=1))
    yield from rows(data, ["renormalise"], {"impact": _rank_correlation(share, cells, impact)}, network=network)
    if further:
        yield from rows(data, ["truth"], scores(true), network=network)


def _rank_correlation(predicted: Matrix, cells: AnnData, true: Matrix) -> float:
    """Return Spearman's correlation over all cells and the genes that are seen in each."""
    cell, gene = cells.X.nonzero()
    pairs = (np.asarray(sparse.csr_array(matrix)[cell, gene]).ravel() for matrix in (predicted, true))
    return float(spearmanr(*pairs)[0])
