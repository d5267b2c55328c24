"""Whether knockouts of different genes give different answers: 25 regulators with targets each, simulated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

import dko

from ..inputs import DATA
from ._models import DEFAULT, models
from ._peers import PEERS, peer_scores
from ._row import Row, decision, effects, rows
from ._truth import agreement, baselines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData

    from ._job import Job

NAME = "25 regulators"
_FILE = "sim_peers_500x1000.h5ad"
FILES = (_FILE,)
_AFFECTED = 0.25


def jobs(seeds: int, quick: bool) -> Iterator[Job]:
    for seed in range(1 if quick else seeds):
        yield measure, {"data": NAME, "seed": seed, "quick": quick}
    for peer in () if quick else PEERS:
        yield measure_peer, {"data": NAME, "peer": peer}


def measure(data: str, seed: int, quick: bool) -> list[Row]:
    """Return the scores of the models of one seed and, with the first, of the truth and the baselines."""
    return list(_measure(data, seed, quick))


def _measure(data: str, seed: int, quick: bool) -> Iterator[Row]:
    truth = _read()
    cells, regulators = _cells(truth), list(truth.uns["tf_names"])
    for names, _, fitted in models(cells, [seed], quick=quick, paper=not quick):
        yield from rows(data, names, scores(effects(fitted, regulators), truth), seed=seed)
        if DEFAULT in names:
            yield from rows(data, [DEFAULT], decision(fitted), seed=seed)
    if seed == 0:
        of_truth = scores(truth.varm["ko_effect_true"].T, truth)
        yield from rows(data, ["truth"], {"similarity": of_truth["similarity"]})
        for name, effect in baselines(cells, cells.var_names.get_indexer(regulators)).items():
            yield from rows(data, [name], scores(effect, truth))


def measure_peer(data: str, peer: str) -> list[Row]:
    """Return the scores of another tool, which has no signs."""
    truth = _read()
    found = peer_scores(peer, _cells(truth), list(truth.uns["tf_names"]))
    if found is None:
        return []
    scored = scores(found.to_numpy(), truth)
    del scored["effect"]
    return list(rows(data, [peer], scored))


def scores(predicted: np.ndarray, truth: AnnData) -> dict[str, float]:
    """Score effects, regulators x genes, by the genes that are no regulators.

    Returns
    -------
    ``effect`` (Pearson), ``auroc_affected`` and ``auroc_direct`` (of absolute values), ``similarity`` (Spearman's
    correlation of the absolute values for different knockouts), and, after subtracting from the rank of each gene its
    mean over the knockouts, on both sides, ``auroc_direct_centred`` and ``retrieval_centred``: the share of the other
    knockouts whose truth fits the prediction worse than its own.
    """
    others = ~truth.var_names.isin(truth.uns["tf_names"])
    predicted, true = predicted[:, others], truth.varm["ko_effect_true"].T[:, others]
    direct = truth.varm["direct_weight"].T[:, others] != 0
    centred, true_centred = _centred_ranks(predicted), _centred_ranks(true)
    return {
        "effect": agreement(predicted, true),
        "auroc_affected": _auroc(np.abs(predicted), np.abs(true) > _AFFECTED),
        "auroc_direct": _auroc(np.abs(predicted), direct),
        "similarity": float(np.mean(dko.metrics.similarity(predicted))),
        "auroc_direct_centred": _auroc(centred, direct),
        "retrieval_centred": float(np.mean(dko.metrics.retrieval(centred, true_centred))),
    }


def _auroc(score: np.ndarray, true: np.ndarray) -> float:
    return float(np.mean([roc_auc_score(*pair) for pair in zip(true, score, strict=True)]))


def _centred_ranks(effects: np.ndarray) -> np.ndarray:
    """Return the rank of each gene by size, less its mean over the knockouts."""
    ranks = rankdata(np.abs(effects), axis=1)
    return ranks - ranks.mean(axis=0)


def _read() -> AnnData:
    return ad.read_h5ad(DATA / _FILE)


def _cells(truth: AnnData) -> AnnData:
    """Return the counts alone."""
    return ad.AnnData(truth.X, obs=truth.obs[[]], var=truth.var[[]])
