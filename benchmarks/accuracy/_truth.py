"""True effects of simulated knockouts, and how well others agree with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import dko

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData


def true_effects(cells: AnnData, measured: np.ndarray | None = None) -> np.ndarray:
    """Return the true effect of every gene, genes x genes, NaN at the gene itself, and throughout without targets.

    The mean, over the cells that have the gene, of the change of log1p(1e4 * profile), with the gene taken out of both
    sides, and so are genes that are not among those `measured` (all by default), which have no row or column.
    """
    measured = np.arange(cells.n_vars) if measured is None else measured
    found = np.full((cells.n_vars, cells.n_vars), np.nan)
    unmeasured = np.setdiff1d(np.arange(cells.n_vars), measured)
    before = dko.datasets.grn_knockout(cells, [])
    for column in np.intersect1d(regulators(cells.varp["network"].toarray()), measured):
        gene = cells.var_names[column]
        has = np.flatnonzero(before[:, [column]].toarray())
        if len(has):
            after = dko.datasets.grn_knockout(cells, gene, cells=list(cells.obs_names[has]))
            found[column] = dko.metrics.effect(after, before[has], without=[column, *unmeasured])
    return found[np.ix_(measured, measured)]


def strongest(true: np.ndarray, n: int = 15) -> np.ndarray:
    """Return the rows of the knockouts with the largest true effects (mean square over genes)."""
    size = np.nansum(true**2, axis=1)
    return np.flatnonzero(size >= max(np.sort(size)[-n:][0], np.finfo(float).tiny))


def regulators(network: np.ndarray) -> np.ndarray:
    """Return the genes, rows of a network, that regulate others; the knockout of any other changes nothing."""
    return np.flatnonzero((network != 0).sum(axis=1) > (np.diag(network) != 0))


def others_apart(before: np.ndarray, after: np.ndarray, genes: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return the Bray-Curtis dissimilarity of each cell without some genes, each side made to sum to 1 again."""
    before, after = (np.delete(one, genes, axis=1) for one in (before, after))
    before, after = (one / np.maximum(one.sum(axis=1, keepdims=True), 1e-300) for one in (before, after))
    return np.abs(after - before).sum(axis=1) / np.maximum((after + before).sum(axis=1), 1e-300)


def agreement(predicted: np.ndarray, true: np.ndarray) -> float:
    """Return the Pearson correlation over genes, mean over knockouts; the knocked-out gene does not count.

    A gene of which nothing is predicted has a correlation of 0.
    """
    return float(np.nanmean([dko.metrics.correlation(*pair) for pair in zip(predicted, true, strict=True)]))


def baselines(cells: AnnData, genes: np.ndarray, rng: int = 0) -> dict[str, np.ndarray]:
    """Return the effects, knockouts x genes, that can be predicted without a model of knockouts."""
    none = {"no change": np.zeros((len(genes), cells.n_vars))}
    return none | dko.metrics.baseline_effects(dko.metrics.log_profiles(cells.X), genes, rng=rng)


def direct_targets(predicted: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """Tell the targets of each regulator from other genes by the size of the effect; mean over regulators.

    Parameters
    ----------
    predicted, targets
        Regulators x genes; genes that do not count are NaN in the former.
    """
    scores = [
        # Expression matters only to a score that is not used here.
        dko.metrics.recovery(effect, true, expression=np.zeros(len(effect)))
        for effect, true in zip(predicted, targets, strict=True)
    ]
    return {name: float(np.nanmean([score[name] for score in scores])) for name in ("auroc", "auprc")}
