"""Whether the genes that are ranked first are those whose knockout truly changes most, in simulated cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import spearmanr

import dko

from ._models import models
from ._row import Row, rows
from ._simulated import CLEAN, DEEP, N_NETWORKS, NOISE, SETTINGS, SHALLOW, network_of
from ._truth import others_apart

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData

    from ._job import Job

FILES: tuple[str, ...] = ()
# Named apart from the same cells in the other family of data sets.
NAMES = {setting: f"keystones, {setting}" for setting in (CLEAN, NOISE, DEEP, SHALLOW)}
_SCALE = 1e4


def jobs(seeds: int, quick: bool) -> Iterator[Job]:
    for setting, name in list(NAMES.items())[: 1 if quick else None]:
        for network in range(1 if quick else N_NETWORKS):
            yield measure, {"data": name, "setting": setting, "network": network, "seeds": seeds, "quick": quick}


def measure(data: str, setting: str, network: int, seeds: int, quick: bool) -> list[Row]:
    """Return Spearman's correlations over genes with the true mean impact, and the true mean downstream impact."""
    how = SETTINGS[setting] | ({"n_cells": 60} if quick else {})
    cells = dko.datasets.grn(network=network_of(network, 30 if quick else 100), rng=network, decay=1.0, **how)
    return list(_measure(data, network, cells, 1 if quick else seeds, quick))


def _measure(data: str, network: int, cells: AnnData, seeds: int, quick: bool) -> Iterator[Row]:
    true = _true(cells)
    for names, seed, fitted in models(cells, range(seeds), quick=quick):
        dko.tl.scan(fitted)
        table = dko.get.ranking(fitted, min_cells=1).set_index("gene").reindex(cells.var_names)
        found = {"downstream": table["downstream_mean"].to_numpy(), "impact": table["impact_mean"].to_numpy()}
        yield from rows(
            data, names, {name: _agreement(found[name], true[name]) for name in true}, network=network, seed=seed
        )
    for name, score in baselines(cells).items():
        yield from rows(data, [name], {what: _agreement(score, value) for what, value in true.items()}, network=network)


def _true(cells: AnnData) -> dict[str, np.ndarray]:
    """Return the true mean downstream impact, and impact, of each gene over the cells where it is seen."""
    before = dko.datasets.grn_knockout(cells, []).toarray()
    found = {"downstream": np.full(cells.n_vars, np.nan), "impact": np.full(cells.n_vars, np.nan)}
    for number, gene in enumerate(cells.var_names):
        has = np.flatnonzero(cells.X[:, [number]].toarray() > 0)
        if len(has):
            pair = before[has], dko.datasets.grn_knockout(cells, gene, cells=list(cells.obs_names[has])).toarray()
            found["impact"][number] = others_apart(*pair, []).mean()
            found["downstream"][number] = others_apart(*pair, [number]).mean()
    return found


def baselines(cells: AnnData) -> dict[str, np.ndarray]:
    """Return scores of genes without any model."""
    shares = cells.X.toarray() / cells.X.sum(axis=1).reshape(-1, 1)
    shares = np.asarray(shares)
    logs = np.log1p(_SCALE * shares)
    correlation = np.nan_to_num(np.corrcoef(logs, rowvar=False))
    np.fill_diagonal(correlation, 0)
    spread = logs.std(0)
    return {
        "mean expression": shares.mean(0),
        "own share": shares.sum(0) / np.maximum((shares > 0).sum(0), 1),
        "gene spread": spread,
        "co-expression": np.abs(correlation * spread).mean(1),
    }


def _agreement(score: np.ndarray, true: np.ndarray) -> float:
    known = np.isfinite(score) & np.isfinite(true)
    return float(spearmanr(score[known], true[known])[0])
