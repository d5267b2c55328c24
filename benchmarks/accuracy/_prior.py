"""What prior knowledge brings: the default without and with a network, or effects that were measured elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

import dko

from ..inputs import DATA
from ._models import DEFAULT
from ._row import Row, effects
from ._screens import CONTROL, KEY, SETS, cells_of
from ._truth import strongest, true_effects
from ._types import SEVERAL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData

    from ._job import Job

PRIOR = "default + prior"
_NETWORK = {"tal1": "mm", "renge": "hs", "papalexi": "hs"}
_DOROTHEA = "networks/dorothea_{}_ABCD.csv.gz"
REGULATED = [f"{name}: network" for name in (*_NETWORK, *SEVERAL)]
MEASURED = [f"{name}: measured effects" for name in ("renge", *SEVERAL)]
FILES = (*(SETS[name].file for name in _NETWORK), *map(_DOROTHEA.format, ("hs", "mm")))
# Split-half correlation above which a measured knockout counts.
_RELIABLE = {"papalexi": 0.2}
# In days: cells of which the effects are known, when those of the others are predicted.
_EARLY = (2.0, 3.0)
# Simulated networks of each kind.
_N_NETWORKS = 2
# Standard deviation of the error of simulated log fold changes, as screens have of some hundred cells a perturbation.
_ERROR = 0.15
# Added to shares of 10,000 counts before their logarithm is taken.
_LEAST = 0.1


def jobs(seeds: int, quick: bool) -> Iterator[Job]:
    for data in ["renge: network"] if quick else [*REGULATED, *MEASURED]:
        yield measure, {"data": data}


def measure(data: str) -> list[Row]:
    """Return Pearson correlations of effects without and with the prior, and gains by it: means over knockouts."""
    table = pd.concat(_knockouts(*data.split(": ")))
    gain = table["with"] - table["without"]
    scores = {
        (DEFAULT, "pearson"): table["without"],
        (PRIOR, "pearson"): table["with"],
        ("measured effects alone", "pearson"): table["alone"].dropna(),
        (DEFAULT, "gain"): gain,
        ("knockouts with an entry", "gain"): gain[table["known"]],
        ("the knockout with the least gain", "gain"): gain.nsmallest(1),
    }
    return [
        Row(data, None, method, None, metric, float(values.mean()), *_interval(values))
        for (method, metric), values in scores.items()
        if len(values)
    ]


def _interval(values: pd.Series) -> tuple[float, float]:
    """Return the ends of a 95 % interval of the mean, by bootstrap over knockouts; NaN for fewer than two."""
    if len(values) < 2:
        return np.nan, np.nan
    means = np.random.default_rng(0).choice(values.to_numpy(), (2_000, len(values))).mean(axis=1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def _knockouts(name: str, kind: str) -> Iterator[pd.DataFrame]:
    """Yield the correlations of the knockouts of a screen, or of each simulated network."""
    if name in SETS:
        yield _of_screen(name, kind)
        return
    for number in range(_N_NETWORKS):
        how = {"n_cells": 1200} | SEVERAL[name]
        cells = dko.datasets.grn_types(rng=number, depth=5 * how["n_genes"], **how)
        types = cells.obs["cell_type"].cat
        known = (types.codes < len(types.categories) // 2).to_numpy()
        prior = _half_known(cells, number) if kind == "network" else _changes(cells[known].copy(), number)
        cells = cells if kind == "network" else cells[~known].copy()
        true = pd.DataFrame(true_effects(cells), cells.var_names, cells.var_names)
        yield _compare(cells, prior, true.iloc[strongest(true.to_numpy())])


def _half_known(cells: AnnData, seed: int) -> pd.DataFrame:
    """Return half of the edges of a simulated network, and as many wrong ones of the same sources."""
    rng, network = np.random.default_rng(seed), np.sign(cells.varp["network"].toarray())
    right = np.argwhere(network)
    right = right[rng.random(len(right)) < 0.5]
    absent = np.argwhere((network == 0) & network.any(axis=1)[:, None] & ~np.eye(len(network), dtype=bool))
    wrong = rng.choice(absent, len(right), replace=False)
    signs = [*network[right[:, 0], right[:, 1]], *rng.choice([1, -1], len(wrong))]
    source, target = (cells.var_names[end] for end in np.concatenate([right, wrong]).T)
    return pd.DataFrame({"source": source, "target": target, "weight": signs})


def _changes(cells: AnnData, seed: int) -> pd.DataFrame:
    """Return the log fold changes of simulated knockouts, with an error."""
    before, found = dko.datasets.grn_knockout(cells, []).mean(axis=0), {}
    for gene in cells.var_names[cells.varp["network"].toarray().any(axis=1)]:
        found[gene] = _log_ratio(dko.datasets.grn_knockout(cells, gene).mean(axis=0), before)
    table = pd.DataFrame.from_dict(found, orient="index", columns=cells.var_names)
    return table + np.random.default_rng(seed).normal(0, _ERROR, table.shape)


def _log_ratio(after: np.ndarray, before: np.ndarray) -> np.ndarray:
    return np.log((1e4 * after + _LEAST) / (1e4 * before + _LEAST))


def _of_screen(name: str, kind: str) -> pd.DataFrame:
    cells = cells_of(name)
    if SETS[name].log1p:
        cells.X = cells.X.expm1()
    if kind == "network":
        prior = pd.read_csv(DATA / _DOROTHEA.format(_NETWORK[name]))
    else:
        early = cells.obs["day"].astype(float).isin(_EARLY).to_numpy()
        prior, cells = _measured_changes(cells[early]), cells[~early]
    of = {label: cells.X[(cells.obs[KEY] == label).to_numpy()] for label in cells.obs[KEY].unique()}
    control, true = of.pop(CONTROL), {}
    for label in cells.var_names.intersection(list(of)):
        pair, without = (of[label], control), [cells.var_names.get_loc(label)]
        if dko.metrics.ceiling(*pair, without=without) > _RELIABLE.get(name, 0.3):
            true[label] = dko.metrics.effect(*pair, without=without)
    unperturbed = cells[(cells.obs[KEY] == CONTROL).to_numpy()].copy()
    return _compare(unperturbed, prior, pd.DataFrame.from_dict(true, orient="index", columns=cells.var_names))


def _measured_changes(cells: AnnData) -> pd.DataFrame:
    """Return the log fold changes of all perturbations, of mean profiles."""
    profiles = pd.DataFrame(cells.X.toarray(), columns=cells.var_names)
    means = profiles.div(profiles.sum(axis=1), axis=0).groupby(cells.obs[KEY].to_numpy(), observed=True).mean()
    return _log_ratio(means.drop(CONTROL), means.loc[CONTROL])


def _compare(cells: AnnData, prior: pd.DataFrame, true: pd.DataFrame) -> pd.DataFrame:
    """Return the correlations of predicted with true effects; `true` has a row per knockout, NaN at the gene itself."""
    # Total effects do not depend on the assemblage network, which is not trained to its end.
    fits = [
        dko.tl.fit(cells, prior=given, effects="total", max_epochs=1, progress=False, copy=True)
        for given in (None, prior)
    ]
    without, known = (effects(fitted, true.index) for fitted in fits)
    alone = prior.reindex(index=true.index, columns=true.columns).to_numpy() if "target" not in prior else None
    found = pd.DataFrame({"known": (without != known).any(axis=1), "alone": np.nan}, true.index)
    for name, predicted in (("without", without), ("with", known), ("alone", alone)):
        if predicted is not None:
            found[name] = [dko.metrics.correlation(*pair) for pair in zip(predicted, true.to_numpy(), strict=True)]
    return found
