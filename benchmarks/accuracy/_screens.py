"""Knockouts that were measured in real cells: :func:`dko.tl.evaluate`, and the sizes of effects beside other tools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

import dko
from dko.metrics._effects import of_whole

from ..inputs import DATA
from ._models import DEFAULT, models
from ._peers import PEERS, peer_scores
from ._row import Row, decision, effects, rows
from ._targets import RELIABLE, Truth
from ._truth import baselines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData

    from ._job import Job
    from ._targets import Target

KEY, CONTROL = "perturbation", "control"
# The published network takes 7 minutes a fit with 2,000 genes, and 1 with these.
_N_GENES = 800
_PEARSON = "pearson"


@dataclass(frozen=True)
class _Set:
    """A file; whether it has log values; whether only the genes that most control cells express are kept."""

    file: str
    log1p: bool | None = None
    few: bool = True


SETS = {
    "tal1": _Set("tal1_ko_chimera_500hvg.h5ad"),
    "nkx21": _Set("nkx21_ko_lung_2k.h5ad"),
    "nkx21, all genes": _Set("nkx21_ko_lung_2k.h5ad", few=False),
    "renge": _Set("renge23_hipsc_crispr_ko_103genes.h5ad", log1p=True),
    "papalexi": _Set("papalexi21_thp1_299genes_part.h5ad"),
}
FILES = tuple({one.file for one in SETS.values()})
_WITH_PEERS = ("nkx21", "renge")


def jobs(seeds: int, quick: bool) -> Iterator[Job]:
    for data in SETS:
        for seed in range(1 if quick else seeds):
            # One job a seed: these fits are the longest of all.
            yield measure, {"data": data, "seed": seed, "quick": quick}
    for data in () if quick else _WITH_PEERS:
        for peer in PEERS:
            yield measure_peer, {"data": data, "peer": peer}


def cells_of(data: str) -> AnnData:
    """Return the cells of a set, over the genes that are compared."""
    import anndata as ad

    cells = ad.read_h5ad(DATA / SETS[data].file)
    control = cells.X[(cells.obs[KEY] == CONTROL).to_numpy()]
    n_cells = np.asarray((control > 0).sum(axis=0)).ravel()
    kept = n_cells > 0
    if SETS[data].few and kept.sum() > _N_GENES:
        kept[np.argsort(-n_cells, kind="stable")[_N_GENES:]] = False
    return cells[:, kept | cells.var_names.isin(cells.obs[KEY].unique())].copy()


def measure(data: str, seed: int, quick: bool) -> list[Row | Target]:
    """Return the scores of the models of one seed and, with the first, of the baselines."""
    found = _measure(data, seed, quick)
    # The same cells with all genes are no further set.
    return [row for row in found if SETS[data].few or isinstance(row, Row)]


def _measure(data: str, seed: int, quick: bool) -> Iterator[Row | Target]:
    cells = cells_of(data)
    truth = measured_effects(cells, data)
    measured = reliable(truth, cells)
    control = (cells.obs[KEY] == CONTROL).to_numpy()
    how = {"perturbation_key": KEY, "control": CONTROL, "log1p": SETS[data].log1p}
    paper = SETS[data].few and not quick
    for names, _, fitted in models(cells, [seed], quick=quick, paper=paper, **how):
        first = seed == 0 and DEFAULT in names
        dko.tl.evaluate(fitted, perturbation_key=KEY, control=CONTROL, baselines=first, progress=False)
        table = dko.get.evaluation(fitted)
        for method in table.index if first else ["model"]:
            its_names, its_seed = (names, seed) if method == "model" else ([method], None)
            for name in its_names:
                yield from _summary(table.loc[method], data, name, its_seed)
        unperturbed = fitted[control].copy()
        yield from truth.rows(names, effects(unperturbed, truth.names), seed)
        yield from rows(data, names, sizes(effects(unperturbed, measured.index), measured), seed=seed)
        if DEFAULT in names:
            yield from rows(data, [DEFAULT], decision(fitted), seed=seed)
        if first:
            yield from truth.ceiling()
            found = baselines(_profiles(unperturbed, data), cells.var_names.get_indexer(truth.names))
            for name, effect in found.items():
                yield from truth.rows([name], effect)
                yield from rows(data, [name], sizes(effect[truth.reliable], measured))


def _summary(scores: pd.Series, data: str, method: str, seed: int | None) -> Iterator[Row]:
    """Yield what :func:`dko.tl.evaluate` has found, with the intervals."""
    metrics = [name for name in scores.index if f"{name}_low" in scores.index and not name.endswith("_gain")]
    for metric in metrics:
        value, low, high = (float(scores[f"{metric}{end}"]) for end in ("", "_low", "_high"))
        if np.isfinite(value):
            # The ceiling is what a perfect prediction could have.
            yield Row(data, None, method, seed, _PEARSON if metric == "ceiling" else metric, value, low, high)


def _profiles(cells: AnnData, data: str) -> AnnData:
    """Return the cells with logarithms turned back."""
    values = cells.copy()
    if SETS[data].log1p:
        values.X = values.X.expm1()
    return values


def measured_effects(cells: AnnData, data: str) -> Truth:
    """Return the measured effects of the knockouts of genes that are among those of the cells."""
    values, labels = _profiles(cells, data), cells.obs[KEY].astype(str).to_numpy()
    control = values.X[labels == CONTROL]
    names = [label for label in cells.obs[KEY].unique() if label in cells.var_names]
    columns = cells.var_names.get_indexer(names)
    found, halves = [], []
    for label, column in zip(names, columns, strict=True):
        perturbed = values.X[labels == label]
        halves.append(dko.metrics.ceiling(perturbed, control, without=[column]))
        found.append(dko.metrics.effect(perturbed, control, without=[column]))
    share = np.asarray((control > 0).mean(axis=0)).ravel()[columns]
    return Truth(data, None, names, np.array(found), share, np.array(halves) > RELIABLE, of_whole(np.array(halves)))


def reliable(truth: Truth, cells: AnnData) -> pd.DataFrame:
    """Return the effects that agree with themselves (split-half correlation above 0.3)."""
    effects = pd.DataFrame(truth.effects, index=truth.names, columns=cells.var_names)
    return effects[truth.reliable]


def sizes(predicted: np.ndarray, measured: pd.DataFrame) -> dict[str, float]:
    """Return how well sizes of effects agree, whatever their signs: correlations over genes, mean over knockouts."""
    pairs = list(zip(np.abs(predicted), np.abs(measured.to_numpy()), strict=True))
    return {
        f"size_{method}": float(np.mean([dko.metrics.correlation(*pair, method=method) for pair in pairs]))
        for method in ("pearson", "spearman")
    }


def measure_peer(data: str, peer: str) -> list[Row]:
    """Return the scores of another tool, which has no signs, on the unperturbed cells."""
    cells = cells_of(data)
    measured = reliable(measured_effects(cells, data), cells)
    control = _profiles(cells[(cells.obs[KEY] == CONTROL).to_numpy()], data)
    found = peer_scores(peer, control, list(measured.index))
    return [] if found is None else list(rows(data, [peer], sizes(found.to_numpy(), measured)))
