"""Whether the prediction for a knockout is about that knockout."""

from __future__ import annotations

import numpy as np

from .._core.verb import verb
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
    found[there] = _share_worse(own(predicted, measured) - between(predicted, measured))
    return found


@verb
def retrieval_cosine(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Share of the other knockouts whose measured effect fits a prediction worse than its own, by the cosine.

    The perturbation discrimination score of cell-eval2 (``pds_cosine``), over the genes that no knockout has lost. A
    cosine is not centred over genes: where most genes fall, that is part of the fit.

    Parameters
    ----------
    predicted, measured
        As in :func:`dko.metrics.retrieval`.

    Returns
    -------
    As of :func:`dko.metrics.retrieval`: 0 to 1, 0.5 by chance and for no predicted change.
    """
    there = np.isfinite(predicted).any(axis=1) & np.isfinite(measured).any(axis=1)
    kept = np.isfinite(predicted[there]).all(axis=0) & np.isfinite(measured[there]).all(axis=0)
    found = np.full(len(predicted), np.nan)
    if there.sum() < MIN_KNOCKOUTS or not kept.any():
        return found
    cosine = _unit(predicted[there][:, kept]) @ _unit(measured[there][:, kept]).T
    found[there] = _share_worse(np.diag(cosine)[:, None] - cosine)
    return found


def _unit(effects: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(effects, axis=1, keepdims=True)
    return np.divide(effects, length, out=np.zeros_like(effects), where=length > 0)


def _share_worse(gain: np.ndarray) -> np.ndarray:
    """Return the share of the other knockouts that fit worse, from how much better the own one fits than each."""
    better = np.where(np.abs(gain) < _TIE, 0.5, gain > 0)
    np.fill_diagonal(better, 0.0)
    return better.sum(axis=1) / (len(better) - 1)


def centre(effects: np.ndarray) -> np.ndarray:
    """Subtract from each row the mean of the others, gene by gene; what is left of equal rows is 0, not rounding."""
    known = np.isfinite(effects)
    total, n = np.where(known, effects, 0.0).sum(axis=0), known.sum(axis=0)
    others = (total - np.where(known, effects, 0.0)) / np.maximum(n - known, 1)
    left = effects - others
    return np.where(np.abs(left) <= 1e-12 * np.nanmax(np.abs(effects), initial=0.0), 0.0 * left, left)
