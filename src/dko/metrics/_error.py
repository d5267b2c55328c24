"""How far a predicted effect is from the measured one, and whether it has the right size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._core.verb import verb

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@verb
def mse(predicted: np.ndarray, measured: np.ndarray, *, noise: float = 0.0) -> float:
    """Mean over genes of the squared difference of two effects.

    Parameters
    ----------
    predicted, measured
        Effects, shape (genes,); genes that are NaN in either are left out.
    noise
        Sampling variance of the measured effect, mean over genes: the error that the truth itself has. It is
        subtracted, as in ``expr_mse_unbiased`` of cell-eval2.

    Returns
    -------
    In the squared units of the effects, without `noise` 0 or more, with it about 0 for a perfect prediction; NaN if no
    gene is known in both.
    """
    a, b = _known(predicted, measured)
    return float(np.square(a - b).mean()) - noise if len(a) else np.nan


@verb
def relative_error(predicted: np.ndarray, measured: np.ndarray) -> float:
    """Sum of the squared error of a prediction over that of predicting no change.

    Parameters
    ----------
    predicted, measured
        Effects, shape (genes,); genes that are NaN in either are left out.

    Returns
    -------
    sum (measured - predicted)^2 / sum measured^2: 0 for a perfect prediction, 1 for no change, above 1 where no change
    would have been the better prediction. NaN where nothing was measured to change.
    """
    a, b = _known(predicted, measured)
    return _ratio(np.square(b - a).sum(), np.square(b).sum())


@verb
def calibration_slope(predicted: np.ndarray, measured: np.ndarray) -> float:
    """Factor that a predicted effect has to be multiplied by to be as large as the measured one.

    The slope of the regression over genes, through the origin, of the measured effect on the predicted one. Noise in
    the measurement leaves it as it is, and a prediction that does not correlate with the truth has about 0.

    Parameters
    ----------
    predicted, measured
        Effects, shape (genes,); genes that are NaN in either are left out.

    Returns
    -------
    The sum of predicted times measured over that of predicted squared: 1 for the right size, above 1 for changes that
    are predicted too small, below 1 for those that are predicted too large, negative for the wrong direction. NaN for
    no predicted change.
    """
    a, b = _known(predicted, measured)
    return _ratio(a @ b, a @ a)


@verb
def scaled(score: ArrayLike, *, baseline: ArrayLike, replicate: ArrayLike, lower_is_better: bool = False) -> np.ndarray:
    """Place scores between that of a baseline, 0, and that of a repeated measurement, 1.

    Parameters
    ----------
    score, baseline, replicate
        The same metric of a prediction, of the baseline and of the replicate; numbers or arrays.
    lower_is_better
        Whether the metric is an error.

    Returns
    -------
    (score - baseline) / (replicate - baseline), as the linear part of the scores of cell-eval2: below 0 for what is
    worse than the baseline, above 1 for what is better than the replicate. NaN where the replicate is not better than
    the baseline, so that there is nothing to gain.
    """
    value, low, high = np.broadcast_arrays(*(np.asarray(one, dtype=float) for one in (score, baseline, replicate)))
    span = high - low
    better = span < 0 if lower_is_better else span > 0
    return np.divide(value - low, span, out=np.full(value.shape, np.nan), where=better)


def _known(predicted: np.ndarray, measured: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both effects over the genes that are known in both."""
    a, b = np.asarray(predicted, dtype=float), np.asarray(measured, dtype=float)
    known = np.isfinite(a) & np.isfinite(b)
    return a[known], b[known]


def _ratio(a: float, b: float) -> float:
    return float(a / b) if b > 0 else np.nan
