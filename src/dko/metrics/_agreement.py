"""How well one predicted effect agrees with the measured one: correlation, size, direction, genes that change."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .._core.messages import require_one_of
from .._core.verb import verb

# Values that differ by less than this fraction of the largest are rounding, not a direction.
_ROUNDING = 1e-12
# With fewer genes a share says nothing.
_MIN_GENES = 5
# Share of right signs down to which a list of genes is followed, as REACH_PURITY_FLOOR of cell-eval2.
_PURITY = 0.9
_N_STRATA = 5


@verb
def correlation(predicted: np.ndarray, measured: np.ndarray, *, method: str = "pearson") -> float:
    """Correlation over genes of two effects.

    Parameters
    ----------
    %(effects)s
    method
        ``"pearson"`` or ``"spearman"``.

    Returns
    -------
    The correlation; 0 where one side is constant, as no change has no direction; NaN with fewer than 3 genes.

    Examples
    --------
    >>> measured = np.array([1.0, -2.0, 0.5, 0.0])
    >>> predicted = np.array([0.4, -1.0, 0.5, 0.1])
    >>> round(dko.metrics.correlation(predicted, measured), 2)
    0.98
    >>> round(dko.metrics.correlation(predicted, measured, method="spearman"), 2)
    0.8
    """
    require_one_of(("pearson", "spearman"), method=method)
    a, b = _known(predicted, measured)
    if len(a) < 3:
        return np.nan
    if is_constant(a) or is_constant(b):
        return 0.0
    # The functions of scipy.stats add a p-value, which takes longer than all else.
    return spearman(a, b) if method == "spearman" else float(np.corrcoef(a, b)[0, 1])


@verb
def mse(predicted: np.ndarray, measured: np.ndarray, *, noise: float = 0.0) -> float:
    """Mean over genes of the squared difference of two effects.

    Parameters
    ----------
    %(effects)s
    noise
        Sampling variance of the measured effect, mean over genes, to subtract: ``expr_mse_unbiased`` of cell-eval2.

    Returns
    -------
    In squared units of the effects; NaN if no gene is known in both.

    Examples
    --------
    >>> measured = np.array([1.0, -2.0, 0.5, 0.0])
    >>> dko.metrics.mse(np.zeros(4), measured)
    1.3125
    >>> dko.metrics.mse(np.zeros(4), measured, noise=0.1)
    1.2125
    """
    a, b = _known(predicted, measured)
    return float(np.square(a - b).mean()) - noise if len(a) else np.nan


@verb
def relative_error(predicted: np.ndarray, measured: np.ndarray) -> float:
    """Sum of the squared error of a prediction over that of predicting no change.

    %(scores)s
    0 for a perfect prediction, above 1 where no change would have been better; NaN where nothing was measured to
    change.

    Examples
    --------
    >>> measured = np.array([1.0, -2.0, 0.5, 0.0])
    >>> dko.metrics.relative_error(measured / 2, measured)
    0.25
    >>> dko.metrics.relative_error(np.zeros(4), measured)  # no change predicted
    1.0
    """
    a, b = _known(predicted, measured)
    return _ratio(np.square(b - a).sum(), np.square(b).sum())


@verb
def calibration_slope(predicted: np.ndarray, measured: np.ndarray) -> float:
    """Factor that makes a predicted effect as large as the measured one: slope of the regression through the origin.

    %(scores)s
    1 for the right size, above 1 for changes that are predicted too small, about 0 without correlation, negative for
    the wrong direction; NaN for no predicted change.

    Examples
    --------
    >>> measured = np.array([1.0, -2.0, 0.5, 0.0])
    >>> dko.metrics.calibration_slope(measured / 2, measured)  # predicted half as large as it is
    2.0
    """
    a, b = _known(predicted, measured)
    return _ratio(a @ b, a @ a)


@verb
def oracle_strength(effects: np.ndarray, measured: np.ndarray, *, strengths: np.ndarray) -> float:
    """Find the strength at which the predicted effect is closest to the measured one: an upper bound, no prediction.

    Parameters
    ----------
    effects, strengths
        Predicted effect at each strength, strengths x genes, and these strengths.
    measured
        Measured effect, shape (genes,); genes that are NaN in either are left out.

    Returns
    -------
    The one of `strengths` with the smallest mean squared error, the first of equal ones; NaN if no gene is known.

    Examples
    --------
    >>> measured = np.array([1.0, -2.0, 0.5, 0.0])
    >>> strengths = np.array([0.0, 0.5, 1.0, 2.0])
    >>> effects = np.outer(strengths, measured / 2)  # predicted half as large as it is
    >>> dko.metrics.oracle_strength(effects, measured, strengths=strengths)
    2.0
    """
    if len(strengths) != len(effects) or not len(effects):
        raise ValueError(f"Every strength needs an effect; got {len(strengths)} strengths and {len(effects)} effects.")
    errors = np.array([mse(effect, measured) for effect in effects])
    return float(np.asarray(strengths)[np.nanargmin(errors)]) if np.isfinite(errors).any() else np.nan


@verb
def direction(predicted: np.ndarray, measured: np.ndarray, *, changed: np.ndarray, n_genes: int = 50) -> float:
    """Balanced accuracy of the predicted signs of the genes that change most: mean of that of rising and falling ones.

    Parameters
    ----------
    %(effects)s
    %(changed)s
    n_genes
        How many of them, by the size of the measured change.

    Returns
    -------
    0 to 1; 0.5 by chance, for no change, and for one sign for all. NaN with fewer than 5 genes or a single direction.

    Examples
    --------
    >>> measured = np.array([2.0, -1.5, 1.0, -0.5, 0.3, 0.0])
    >>> predicted = np.array([1.0, -0.8, -0.1, -0.3, 0.2, 0.4])
    >>> changed = np.array([True, True, True, True, True, False])
    >>> round(dko.metrics.direction(predicted, measured, changed=changed), 2)
    0.83
    """
    known = np.flatnonzero(changed & np.isfinite(predicted) & np.isfinite(measured))
    most = _largest(measured, known)[:n_genes]
    truth = np.sign(measured[most])
    if len(known) < _MIN_GENES or not (truth > 0).any() or not (truth < 0).any():
        return np.nan
    right = (np.sign(predicted[most]) * truth + 1) / 2
    return float((right[truth > 0].mean() + right[truth < 0].mean()) / 2)


@verb
def direction_fidelity(predicted: np.ndarray, measured: np.ndarray, *, changed: np.ndarray) -> float:
    """Share of the genes that are predicted to change most whose measured change has the predicted sign.

    ``direction_fidelity_yield_raw`` of cell-eval2, where as many genes are called as change significantly.

    %(signs)s
    0 to 1; about 0.5 by chance, 0 for no predicted change; NaN where no gene changes significantly.

    Examples
    --------
    >>> measured = np.array([2.0, -1.5, 1.0, -0.5, 0.3, 0.0])
    >>> predicted = np.array([1.0, -0.8, -0.1, -0.3, 0.2, 0.4])
    >>> changed = np.array([True, True, True, True, True, False])
    >>> dko.metrics.direction_fidelity(predicted, measured, changed=changed)
    0.8
    """
    right, known = _right_signs(predicted, measured)
    n_changed = int((known & changed).sum())
    return float(right[_called(predicted, n_changed, known)].sum() / n_changed) if n_changed else np.nan


@verb
def direction_reach(predicted: np.ndarray, measured: np.ndarray, *, changed: np.ndarray) -> float:
    """How far down the list of genes, by the size of their predicted change, the predicted signs stay right.

    ``direction_reach_raw`` of cell-eval2: the largest share of the genes that change, from the largest predicted change
    on, of which at least 90 % have the right sign.

    %(signs)s
    0 to 1; about 0 by chance, 0 for no predicted change; NaN where no gene changes significantly.

    Examples
    --------
    >>> measured = np.array([2.0, -1.5, 1.0, -0.5, 0.3, 0.0])
    >>> predicted = np.array([1.0, -0.8, -0.1, -0.3, 0.2, 0.4])
    >>> changed = np.array([True, True, True, True, True, False])
    >>> dko.metrics.direction_reach(predicted, measured, changed=changed)
    0.8
    """
    right, known = _right_signs(predicted, measured)
    order = _largest(predicted, np.flatnonzero(known & changed))
    if not len(order):
        return np.nan
    deepest = np.flatnonzero(np.cumsum(right[order]) / np.arange(1, len(order) + 1) >= _PURITY)
    return float((deepest[-1] + 1) / len(order)) if len(deepest) else 0.0


@verb
def recovery(predicted: np.ndarray, changed: np.ndarray, *, expression: np.ndarray) -> dict[str, float]:
    """Distinguish genes that change from others by the size of their predicted change.

    Parameters
    ----------
    %(predicted)s
    %(changed)s
    expression
        Mean of each gene in unperturbed cells, shape (genes,): changes of highly expressed genes are easier to find.

    Returns
    -------
    ``auprc`` (by chance the share of genes that change), ``auroc``, and ``auroc_matched``, its mean over fifths of the
    genes by expression that have both kinds. All NaN where no gene, or every gene, changes.

    Examples
    --------
    >>> predicted = np.array([0.9, -0.8, 0.1, 0.2, -0.7, 0.0, 0.1, 0.3])
    >>> changed = np.array([True, True, False, False, True, False, False, False])
    >>> scores = dko.metrics.recovery(predicted, changed, expression=np.arange(8))
    >>> round(scores["auroc"], 2)
    1.0
    """
    from sklearn.metrics import average_precision_score

    known = np.isfinite(predicted)
    size, truth = np.abs(predicted[known]), changed[known]
    if truth.all() or not truth.any():
        return {"auprc": np.nan, "auroc": np.nan, "auroc_matched": np.nan}
    order = np.argsort(expression[known], kind="stable")
    fifths = np.split(order, -(-len(order) * np.arange(1, _N_STRATA) // _N_STRATA))
    return {
        "auprc": float(average_precision_score(truth, size)),
        "auroc": _auroc(size, truth),
        "auroc_matched": float(pd.Series([_auroc(size[some], truth[some]) for some in fifths]).mean()),
    }


@verb
def jaccard(predicted: np.ndarray, changed: np.ndarray) -> float:
    """Overlap of the genes that change with as many that are predicted to change most (``sig_jaccard`` of cell-eval2).

    Parameters
    ----------
    %(predicted)s
    %(changed)s

    Returns
    -------
    0 to 1; NaN where no gene changes.

    Examples
    --------
    >>> predicted = np.array([0.9, -0.8, 0.1, 0.2, -0.7, 0.0, 0.1, 0.3])
    >>> changed = np.array([True, True, False, False, True, False, False, False])
    >>> dko.metrics.jaccard(predicted, changed)
    1.0
    """
    known = np.isfinite(predicted)
    truth = np.flatnonzero(known & changed)
    called = _called(predicted, len(truth), known)
    return len(np.intersect1d(truth, called)) / len(np.union1d(truth, called)) if len(truth) else np.nan


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman correlation; NaN where one side is constant."""
    from scipy.stats import rankdata

    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return np.nan
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


def is_constant(values: np.ndarray) -> bool:
    """Whether values are all the same, but for rounding; NaN does not count."""
    known = values[np.isfinite(values)]
    return not len(known) or bool(np.ptp(known) <= _ROUNDING * np.abs(known).max())


def _known(predicted: np.ndarray, measured: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both effects over the genes that are known in both."""
    a, b = np.asarray(predicted, dtype=float), np.asarray(measured, dtype=float)
    known = np.isfinite(a) & np.isfinite(b)
    return a[known], b[known]


def _ratio(a: float, b: float) -> float:
    return float(a / b) if b > 0 else np.nan


def _largest(values: np.ndarray, genes: np.ndarray) -> np.ndarray:
    """Order some genes by the size of their values, the largest first."""
    return genes[np.argsort(-np.abs(values[genes]), kind="stable")]


def _called(predicted: np.ndarray, n_genes: int, known: np.ndarray) -> np.ndarray:
    """Return the columns of the genes with the largest predicted change, at most so many; those of no change never."""
    return _largest(predicted, np.flatnonzero(known & (np.nan_to_num(predicted) != 0)))[:n_genes]


def _right_signs(predicted: np.ndarray, measured: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which predicted signs are right, and which genes have a prediction and a measured direction."""
    known = np.isfinite(predicted) & np.isfinite(measured) & (measured != 0)
    return np.sign(predicted) * np.sign(measured) > 0, known


def _auroc(size: np.ndarray, truth: np.ndarray) -> float:
    """Return the share of pairs of a changed and another gene in which the former is larger; NaN without pairs."""
    from scipy.stats import rankdata

    n, n_changed = len(truth), int(truth.sum())
    if n_changed in (0, n):
        return np.nan
    # From the ranks; that of scikit-learn spends milliseconds on checks, thousands of times in an evaluation.
    total = rankdata(size)[truth].sum()
    return float((total - n_changed * (n_changed + 1) / 2) / (n_changed * (n - n_changed)))
