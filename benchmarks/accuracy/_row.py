"""One number of the benchmark, and what the measurements of the families share."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from anndata import AnnData


class Row(NamedTuple):
    """One number."""

    data: str  # the data set, or the kind of simulation
    network: int | None  # number of the simulated network; None where there is but one set of cells
    method: str  # model, baseline or other tool
    seed: int | None  # of the fit; None for what needs none
    metric: str
    value: float
    low: float = np.nan  # 95 % interval of a bootstrap over knockouts, where there is one
    high: float = np.nan


def rows(
    data: str,
    methods: Iterable[str],
    scores: Mapping[str, float],
    *,
    network: int | None = None,
    seed: int | None = None,
) -> Iterator[Row]:
    """Yield a row for each score that is defined, under the name of each method that has it."""
    for method in methods:
        for metric, value in scores.items():
            if np.isfinite(value):
                yield Row(data, network, method, seed, metric, float(value))


def decision(fitted: AnnData) -> dict[str, float]:
    """Return what decides which effects the default has, and whether they are total ones."""
    params = fitted.uns["dko"]["params"]
    return {"explained": params["explained"], "is_total": params["effects"] == "total"}


def settle() -> None:
    """Say nothing, and stay on the processor, whatever else the machine has."""
    import dko

    dko.settings.verbosity, dko.settings.device = 0, "cpu"


def effects(cells: AnnData, genes: Iterable[str] | None = None) -> np.ndarray:
    """Return predicted effects, genes to knock out (all by default) x all genes; 0 where the model says nothing."""
    import dko

    names = list(cells.var_names if genes is None else genes)
    known = [name for name in names if name in set(cells.uns["dko"]["genes"])]
    table = dko.get.effects(cells, known).to_df()
    return table.reindex(index=names, columns=cells.var_names, fill_value=0.0).to_numpy(dtype=float)
