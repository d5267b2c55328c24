"""Whether genes change in the predicted direction."""

from __future__ import annotations

import numpy as np

from .._core.verb import verb

# With fewer genes a share says nothing.
MIN_GENES = 5
# Share of right signs down to which a list of genes is followed, as REACH_PURITY_FLOOR of cell-eval2.
_PURITY = 0.9


@verb
def direction(predicted: np.ndarray, measured: np.ndarray, *, changed: np.ndarray, n_genes: int = 50) -> float:
    """Share of the genes that change most whose predicted change has the right sign, rising and falling ones apart.

    Where most of them fall, to say that all fall would be right for most. So the share is had among those that rise and
    among those that fall, and the mean of the two counts.

    Parameters
    ----------
    predicted, measured
        Effects, shape (genes,); NaN for genes that do not count.
    changed
        Genes that change significantly, as a mask; see :func:`dko.metrics.changed_genes`. Only they count.
    n_genes
        How many of them, by the size of the measured change.

    Returns
    -------
    0 to 1; 0.5 by chance, for no predicted change, and for one sign for all genes. NaN with fewer than 5 genes, and
    where all of them change in one direction.
    """
    known = np.flatnonzero(changed & np.isfinite(predicted) & np.isfinite(measured))
    if len(known) < MIN_GENES:
        return np.nan
    most = known[np.argsort(-np.abs(measured[known]), kind="stable")[:n_genes]]
    truth = np.sign(measured[most])
    agreement = (np.sign(predicted[most]) * truth + 1) / 2
    if not (truth > 0).any() or not (truth < 0).any():
        return np.nan
    return float((agreement[truth > 0].mean() + agreement[truth < 0].mean()) / 2)


@verb
def direction_fidelity(predicted: np.ndarray, measured: np.ndarray, *, changed: np.ndarray) -> float:
    """Share of the genes that are predicted to change most whose measured change has the predicted sign.

    ``direction_fidelity_yield_raw`` of cell-eval2, right signs / max(called genes, changed genes), for predictions
    without p-values: called are as many genes as change significantly, those with the largest predicted change.

    Parameters
    ----------
    predicted, measured
        Effects, shape (genes,); NaN for genes that do not count.
    changed
        Genes that change significantly, as a mask; see :func:`dko.metrics.changed_genes`.

    Returns
    -------
    0 to 1; about 0.5 by chance, 0 for no predicted change. NaN where no gene changes significantly.
    """
    known, n_changed = _known(predicted, measured, changed)
    if not n_changed:
        return np.nan
    return float((_signs(predicted, measured)[called(predicted, n_changed, known)]).sum() / n_changed)


@verb
def direction_reach(predicted: np.ndarray, measured: np.ndarray, *, changed: np.ndarray) -> float:
    """How far down the list of genes, by the size of their predicted change, the predicted signs stay right.

    ``direction_reach_raw`` of cell-eval2: of the genes that change significantly, from the largest predicted change
    on, the largest number of which at least 90 % have the right sign, over their number.

    Parameters
    ----------
    predicted, measured, changed
        As in :func:`dko.metrics.direction_fidelity`.

    Returns
    -------
    0 to 1; by chance about one over the number of genes, 0 for no predicted change. NaN where no gene changes
    significantly.
    """
    known, n_changed = _known(predicted, measured, changed)
    if not n_changed:
        return np.nan
    genes = np.flatnonzero(known & changed)
    order = genes[np.argsort(-np.abs(predicted[genes]), kind="stable")]
    purity = np.cumsum(_signs(predicted, measured)[order]) / np.arange(1, n_changed + 1)
    deepest = np.flatnonzero(purity >= _PURITY)
    return float((deepest[-1] + 1) / n_changed) if len(deepest) else 0.0


def called(predicted: np.ndarray, n_genes: int, known: np.ndarray) -> np.ndarray:
    """Return the columns of the genes with the largest predicted change, at most so many; those of no change never."""
    genes = np.flatnonzero(known & (np.nan_to_num(predicted) != 0))
    return genes[np.argsort(-np.abs(predicted[genes]), kind="stable")[:n_genes]]


def _known(predicted: np.ndarray, measured: np.ndarray, changed: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the genes that have a measured direction and a prediction, and how many of them change significantly."""
    known = np.isfinite(predicted) & np.isfinite(measured) & (measured != 0)
    return known, int((known & changed).sum())


def _signs(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Return whether signs agree; that of no predicted change does not."""
    return np.sign(predicted) * np.sign(measured) > 0
