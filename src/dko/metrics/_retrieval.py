"""Whether the prediction for a knockout is about that knockout."""

from __future__ import annotations

import numpy as np

from .._verb import verb
from ._pairs import between, own

MIN_KNOCKOUTS = 3
# Correlations that differ by less are equal.
_TIE = 1e-9


@verb
def retrieval(predicted: np.ndarray, measured: np.ndarray, *, centred: bool = False) -> np.ndarray:
    """Share of the other knockouts whose measured effect fits a prediction worse than that of its own knockout.

    A list of genes that is the same whatever was knocked out gets 0.5 on average, however well it correlates.

    Parameters
    ----------
    predicted, measured
        Effects, knockouts x genes, rows in the same order; NaN at the genes that were knocked out. Fit is their Pearson
        correlation over genes that neither of two knockouts has lost.
    centred
        Subtract from each effect the mean effect of the other knockouts first, on both sides.

    Returns
    -------
    0 to 1, float64, shape (knockouts,); ties count one half. NaN for a prediction that is all NaN, and with fewer than
    3 knockouts.
    """
    if centred:
        predicted, measured = centre(predicted), centre(measured)
    there = np.isfinite(predicted).any(axis=1) & np.isfinite(measured).any(axis=1)
    found = np.full(len(predicted), np.nan)
    if there.sum() < MIN_KNOCKOUTS:
        return found
    predicted, measured = predicted[there], measured[there]
    gain = own(predicted, measured) - between(predicted, measured)
    better = np.where(np.abs(gain) < _TIE, 0.5, gain > 0)
    np.fill_diagonal(better, 0.0)
    found[there] = better.sum(axis=1) / (len(better) - 1)
    return found


def centre(effects: np.ndarray) -> np.ndarray:
    """Subtract from each row the mean of the others, gene by gene; what is left of equal rows is 0, not rounding."""
    known = np.isfinite(effects)
    total, n = np.where(known, effects, 0.0).sum(axis=0), known.sum(axis=0)
    others = (total - np.where(known, effects, 0.0)) / np.maximum(n - known, 1)
    left = effects - others
    return np.where(np.abs(left) <= 1e-12 * np.nanmax(np.abs(effects), initial=0.0), 0.0 * left, left)
