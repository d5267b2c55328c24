"""Whether the genes that change are found."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .._core.verb import verb
from ._direction import called

N_STRATA = 5


@verb
def recovery(predicted: np.ndarray, changed: np.ndarray, *, expression: np.ndarray) -> dict[str, float]:
    """Tell genes that change from others by the size of their predicted change.

    Parameters
    ----------
    predicted
        Effect, shape (genes,); genes that are NaN are left out. Its sign does not count.
    changed
        Genes that change, as a mask; see :func:`dko.metrics.changed_genes`.
    expression
        Mean of each gene in unperturbed cells, shape (genes,). Changes of highly expressed genes are larger and easier
        to measure, so that any list of them, whatever was knocked out, does well.

    Returns
    -------
    ``auprc``
        Average precision; by chance, the share of genes that change.
    ``auroc``
        Area under the receiver operating characteristic; by chance 0.5.
    ``auroc_matched``
        The same within fifths of the genes by expression, mean of the fifths that have both kinds of genes.

    All NaN where no gene, or every gene, changes.
    """
    from sklearn.metrics import average_precision_score

    known = np.isfinite(predicted)
    size, truth = np.abs(predicted[known]), changed[known]
    if truth.all() or not truth.any():
        return {"auprc": np.nan, "auroc": np.nan, "auroc_matched": np.nan}
    rank = np.argsort(np.argsort(expression[known], kind="stable"))
    stratum = rank * N_STRATA // len(rank)
    within = [_auroc(size[stratum == number], truth[stratum == number]) for number in range(N_STRATA)]
    within = [area for area in within if np.isfinite(area)]
    return {
        "auprc": float(average_precision_score(truth, size)),
        "auroc": _auroc(size, truth),
        "auroc_matched": float(np.mean(within)) if within else np.nan,
    }


@verb
def jaccard(predicted: np.ndarray, changed: np.ndarray) -> float:
    """Overlap of the genes that change with those that are predicted to change most.

    ``sig_jaccard`` of cell-eval2, genes in both sets over genes in either, for predictions without p-values: the
    second set has as many genes as change, those with the largest predicted change.

    Parameters
    ----------
    predicted, changed
        As in :func:`dko.metrics.recovery`.

    Returns
    -------
    0 to 1; NaN where no gene changes.
    """
    known = np.isfinite(predicted)
    truth = set(np.flatnonzero(known & changed))
    if not truth:
        return np.nan
    found = set(called(predicted, len(truth), known))
    return len(truth & found) / len(truth | found)


def _auroc(size: np.ndarray, truth: np.ndarray) -> float:
    """Return the share of pairs of a changed and another gene in which the former is larger; NaN without pairs."""
    n, n_changed = len(truth), int(truth.sum())
    if n_changed in (0, n):
        return np.nan
    # From the ranks; that of scikit-learn takes milliseconds to look at what it was given.
    total = pd.Series(size).rank().to_numpy()[truth].sum()
    return float((total - n_changed * (n_changed + 1) / 2) / (n_changed * (n - n_changed)))
