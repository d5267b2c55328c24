"""Perturbations that a model of measured perturbations has not seen: :func:`dko.tl.evaluate`, fold by fold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import dko

from ..inputs import DATA
from ._models import DEFAULT, SINGLE, SOFTMAX
from ._row import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData

    from ._job import Job

KEY, CONTROL = "perturbation", "control"
RENGE, PAIRS, SEEN = "renge, unseen", "norman, unseen pairs", "renge, seen"
APART = "renge, unseen, controls apart"
FILES = ("renge23_hipsc_crispr_ko_103genes.h5ad", "norman19_k562_crispra_500hvg.h5ad")
_HOW: dict[str, dict[str, Any]] = {
    DEFAULT: {},
    SINGLE: {"n_members": 1},
    SOFTMAX: {"n_members": 1, "code": "softmax"},
}
_N_FOLDS, _TEST_FRACTION, _TEST_CONTROLS, _QUICK_STEPS = 5, 0.2, 1 / 3, 20
# Draws of the bootstrap over perturbations.
_N_DRAWS = 2_000
# The gains that are shown, and whether more of it is better.
_GAINS = {"pearson": 1, "energy_distance": -1}


def jobs(seeds: int, quick: bool) -> Iterator[Job]:
    for data in (RENGE, APART, PAIRS, SEEN):
        for seed in range(1 if quick else seeds):
            for method in (DEFAULT, SOFTMAX) if data in (RENGE, SEEN) else [DEFAULT]:
                yield measure, {"data": data, "method": method, "seed": seed, "quick": quick}


def cells_of(data: str) -> AnnData:
    """Return log-normalised cells."""
    import anndata as ad

    if data != PAIRS:
        return ad.read_h5ad(DATA / FILES[0])
    cells = ad.read_h5ad(DATA / FILES[1])
    # These are 500 genes of many: the total of a cell is that of all.
    factor = 1e4 / cells.obs["ncounts"].to_numpy(dtype=np.float32)
    cells.X.data *= np.repeat(factor, np.diff(cells.X.indptr))
    cells.X.data = np.log1p(cells.X.data)
    cells.uns["log1p"] = {"base": None}
    return cells


def folds(cells: AnnData, data: str, seed: int) -> list[list[str]]:
    """Return the perturbations that each fit does not see."""
    if data == SEEN:
        return [[]]
    if data == PAIRS:
        labels = set(cells.obs[KEY])
        return [sorted(label for label in labels if "+" in label and labels >= set(label.split("+")))]
    dko.pp.split_perturbations(cells, perturbation_key=KEY, control=CONTROL, n_folds=_N_FOLDS, rng=seed)
    assigned = cells.obs.groupby("fold", observed=True)[KEY].unique()
    return [sorted(map(str, labels)) for fold, labels in assigned.items() if fold.isdigit()]


def measure(data: str, method: str, seed: int, quick: bool) -> list[Row]:
    """Return the scores of a model over the perturbations of all folds; with the default, of a single fit as well."""
    cells = cells_of(data)
    held_out = folds(cells, data, seed)

    def table(method: str) -> pd.DataFrame:
        return pd.concat([_evaluated(cells, data, method, seed, fold, quick) for fold in held_out])

    found = table(method)
    if method == DEFAULT:
        found = pd.concat([found, table(SINGLE).loc[["model"]].rename(index={"model": SINGLE})])
    return list(_rows(found, data, method, seed))


def _evaluated(cells: AnnData, data: str, method: str, seed: int, fold: list[str], quick: bool) -> pd.DataFrame:
    fitted = dko.tl.fit(
        cells,
        model="sccvae",
        perturbation_key=KEY,
        control=CONTROL,
        holdout=fold,
        test_fraction=0.0 if fold else _TEST_FRACTION,
        test_controls=_TEST_CONTROLS if data == APART else 0.0,
        features="onehot" if data == PAIRS else "influence",
        **_HOW[method],
        max_steps=_QUICK_STEPS if quick else None,
        rng=seed,
        progress=False,
        copy=True,
    )
    dko.tl.evaluate(fitted, perturbation_key=KEY, control=CONTROL, baselines=method == DEFAULT, progress=False)
    return dko.get.evaluation(fitted, summary=False)


def _rows(table: pd.DataFrame, data: str, model: str, seed: int) -> Iterator[Row]:
    """Yield the mean of every method over the reliable perturbations, and by how much the default is better."""
    measured = table.loc["measurement"]
    reliable = measured.index[(measured["reliable"] > 0).to_numpy()]
    ours = table.loc["model"].reindex(reliable)
    rng = np.random.default_rng(seed)
    for method in table.index.unique("method"):
        name = model if method == "model" else method
        if method != "model" and model != DEFAULT:
            continue
        scores = table.loc[method].reindex(reliable)
        for metric in scores:
            value = scores[metric].mean()
            if np.isfinite(value):
                low, high = _interval(scores[metric], rng)
                yield Row(data, None, name, seed, "pearson" if metric == "ceiling_whole" else metric, value, low, high)
        if method not in {"model", "measurement"}:
            yield from _gains(ours, scores, data, name, seed, rng)


def _gains(
    ours: pd.DataFrame, theirs: pd.DataFrame, data: str, method: str, seed: int, rng: np.random.Generator
) -> Iterator[Row]:
    for metric, sign in _GAINS.items():
        if metric not in theirs:
            continue
        difference = (sign * (ours[metric] - theirs[metric])).dropna()
        if len(difference):
            yield Row(data, None, method, seed, f"{metric}_gain", difference.mean(), *_interval(difference, rng))


def _interval(values: pd.Series, rng: np.random.Generator) -> tuple[float, float]:
    known = values.dropna().to_numpy(dtype=float)
    if len(known) < 2:
        return np.nan, np.nan
    means = rng.choice(known, (_N_DRAWS, len(known))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
