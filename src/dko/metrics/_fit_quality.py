"""How well predicted profiles fit observed ones."""

from __future__ import annotations

import numpy as np

from .._arrays import Matrix, dense
from ._bray_curtis import bray_curtis


def fit_quality(observed: Matrix, predicted: Matrix) -> dict[str, float]:
    """Compare predicted with observed profiles.

    Absolute profiles correlate highly with anything that knows which genes are present and how high they are on
    average: read these numbers beside those of :func:`dko.metrics.gene_mean`.

    Parameters
    ----------
    observed, predicted
        Profiles, cells x genes, dense or sparse.

    Returns
    -------
    ``bray_curtis``
        Mean over cells.
    ``spearman``
        Over all expressed entries (observed above 0) of all cells.
    ``spearman_within_gene``
        The same per gene, over the cells that express it, averaged over genes that at least 3 cells express; what a
        gene's mean cannot know.
    """
    truth, guess = dense(observed), dense(predicted)
    expressed = truth > 0
    within = [_spearman(truth[rows, g], guess[rows, g]) for g, rows in enumerate(expressed.T) if rows.sum() >= 3]
    within = [r for r in within if np.isfinite(r)]
    return {
        "bray_curtis": float(np.nanmean(bray_curtis(truth, guess))),
        "spearman": _spearman(truth[expressed], guess[expressed]),
        "spearman_within_gene": float(np.mean(within)) if within else np.nan,
    }


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman correlation; NaN where one side is constant."""
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return np.nan
    from scipy.stats import spearmanr

    return float(spearmanr(a, b).statistic)
