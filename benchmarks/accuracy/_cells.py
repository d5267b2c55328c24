"""Predicted cells of knockouts that were seen, as :func:`dko.tl.virtual_ko` writes them, beside held-out cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import dko

from ..inputs import DATA
from ._models import DEFAULT
from ._row import Row, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData

    from ._job import Job

KEY, CONTROL = "perturbation", "control"
RENGE, PAPALEXI = "renge, cells", "papalexi, cells"
_FILE = {RENGE: "renge23_hipsc_crispr_ko_103genes.h5ad", PAPALEXI: "papalexi21_thp1_299genes_part.h5ad"}
FILES = tuple(_FILE.values())
BEFORE = "version 0.1.0"
# What this file has measured with that version, commit adf413f, for the first three seeds.
_MEASURED = {RENGE: [0.24730, 0.13005, 0.07795], PAPALEXI: [0.33516, 0.32281, 0.33327]}
_MAX_CELLS, _MIN_CELLS, _QUICK_STEPS = 500, 10, 20


def quarter(data: str) -> float:
    """Return a quarter of the energy distance that version 0.1.0 had."""
    return float(np.mean(_MEASURED[data])) / 4


def jobs(seeds: int, quick: bool) -> Iterator[Job]:
    for data in _FILE:
        for seed in range(1 if quick else seeds):
            yield measure, {"data": data, "seed": seed, "quick": quick}


def measure(data: str, seed: int, quick: bool) -> list[Row]:
    """Return mean energy distances over the knockouts, and how far layers are from the effects."""
    import anndata as ad

    adata = ad.read_h5ad(DATA / _FILE[data])
    dko.tl.fit(
        adata,
        model="sccvae",
        perturbation_key=KEY,
        control=CONTROL,
        normalize=data == PAPALEXI,
        test_fraction=0.2,
        max_steps=_QUICK_STEPS if quick else None,
        rng=seed,
        progress=False,
    )
    found = list(rows(data, [DEFAULT], {"gap": _gap(adata)}, seed=seed))
    for method, distances in _distances(adata, seed).items():
        found += rows(data, [method], {"energy_distance": float(np.mean(distances))}, seed=seed)
    if not quick and seed < len(_MEASURED[data]):
        found += rows(data, [BEFORE], {"energy_distance": _MEASURED[data][seed]}, seed=seed)
    return found


def _trained(adata: AnnData) -> list[str]:
    table = adata.uns["dko"]["perturbations"]
    return list(table["perturbation"][table["role"] == "trained"])


def _gap(adata: AnnData) -> float:
    """Write the layers; return how far their means, less those of the observed cells, are from the effects at most."""
    labels = _trained(adata)
    dko.tl.virtual_ko(adata, labels)
    effects = dko.get.effects(adata, labels).to_df()
    control = (adata.obs[KEY] == CONTROL).to_numpy()
    before = _values(adata)[control].mean(axis=0)
    changes = [adata.layers[f"dko_ko_{label}"][control].mean(axis=0) - before for label in labels]
    return float(np.abs(np.array(changes) - effects.loc[labels, adata.var_names].to_numpy()).max())


def _values(adata: AnnData) -> np.ndarray:
    """Return log-normalised expression as the fit has read it."""
    values, total = adata.X.toarray(), adata.uns["dko"]["params"].get("target_sum")
    return values if total is None else np.log1p(total * values / values.sum(axis=1, keepdims=True))


def _distances(adata: AnnData, seed: int) -> dict[str, list[float]]:
    """Return how far the held-out cells of each knockout are from what each method says of them: energy distances."""
    rng, values = np.random.default_rng(seed), _values(adata)
    label, test = adata.obs[KEY].astype(str).to_numpy(), (adata.obs["dko_split"] == "test").to_numpy()
    control = np.flatnonzero(label == CONTROL)
    covariance, size = np.cov(values[control].T), min(_MAX_CELLS, len(control) // 2)
    found: dict[str, list[float]] = {}
    for knockout in _trained(adata):
        held_out = rng.permutation(np.flatnonzero((label == knockout) & test))[:_MAX_CELLS]
        if len(held_out) < _MIN_CELLS:
            continue
        chosen, other = rng.permutation(control)[: 2 * size].reshape(2, size)
        before = values[chosen]
        shift = values[(label == knockout) & ~test].mean(axis=0) - values[control].mean(axis=0)
        said = {
            DEFAULT: adata.layers[f"dko_ko_{knockout}"][chosen],
            "no change": before,
            "mean shift": before + shift,
            "gaussian": rng.multivariate_normal(values[control].mean(axis=0) + shift, covariance, len(chosen)),
        }
        for method, cells in said.items():
            found.setdefault(method, []).append(dko.metrics.energy_distance(cells, values[held_out]))
        found.setdefault("measurement", []).append(dko.metrics.energy_distance(before, values[other]))
    return found
