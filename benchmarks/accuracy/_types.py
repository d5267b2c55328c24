"""Simulated cells of several types, and of one type with few genes, whose knockouts are known exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import dko

from ._simulated import against_truth

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._job import Job
    from ._row import Row
    from ._targets import Target

_DEPTH = 5  # Counts per gene of the network.
SEVERAL: dict[str, dict[str, Any]] = {
    "3 types, 150 genes": {"n_types": 3, "n_genes": 150},
    "5 types, 200 genes": {"n_types": 5, "n_genes": 200, "copying": 0.95, "repression_share": 0.2, "library": 0.2},
    "9 types, 300 genes": {"n_types": 9, "n_genes": 300, "copying": 0.9, "noise": 0.6, "dropout": 50},
    "6 types, 400 genes": {"n_types": 6, "n_genes": 400, "copying": 0.8, "noise": 0.6, "n_cells": 1500},
}
FEW = {
    "24 genes": {"n_genes": 24, "regulating_share": 0.5},
    "50 genes": {"n_genes": 50, "regulating_share": 0.3},
    "100 genes": {"n_genes": 100, "regulating_share": 0.2},
    "100 of 300 genes": {"n_genes": 300, "regulating_share": 0.2},
}
_SHARE_MEASURED = {"100 of 300 genes": 1 / 3}
SETTINGS = SEVERAL | {setting: {"n_types": 1, **how} for setting, how in FEW.items()}
N_NETWORKS = 2
FILES: tuple[str, ...] = ()


def jobs(seeds: int, quick: bool) -> Iterator[Job]:
    for setting in list(SETTINGS)[: 1 if quick else None]:
        for network in range(1 if quick else N_NETWORKS):
            yield measure, {"setting": setting, "network": network, "seeds": seeds, "quick": quick}


def measure(setting: str, network: int, seeds: int, quick: bool) -> list[Row | Target]:
    """Return the scores of all methods on the cells of one network."""
    how = {"n_cells": 1200} | SETTINGS[setting] | ({"n_cells": 60, "n_genes": 30} if quick else {})
    cells = dko.datasets.grn_types(rng=network, depth=_DEPTH * how["n_genes"], **how)
    order = np.random.default_rng(network).permutation(cells.n_vars)
    measured = np.sort(order[: round(_SHARE_MEASURED.get(setting, 1) * cells.n_vars)])
    return list(against_truth(setting, network, cells, seeds, quick, measured=measured))
