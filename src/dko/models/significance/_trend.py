"""What most genes of such levels have."""

from __future__ import annotations

import numpy as np

# Share of the genes that a local line is fitted to, rounds in which outliers lose their weight, and how far apart
# lines are fitted, as a share of the range.
_SHARE, _ROUNDS, _APART = 0.5, 3, 0.005
# Of fewer genes only straight lines are told, of fewer still the median.
_LINES, _LINE = 40, 10
# Times that each level is fitted to what the others leave.
_PASSES = 4


def trend(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return what genes of the same levels have on the whole, float64 (genes,): a sum of robust local lines per level.

    Of fewer than 40 genes straight lines (Theil and Sen), of fewer than 10 the median.

    Parameters
    ----------
    values
        Of each gene, finite (genes,).
    levels
        What the values go with, finite (genes, levels).
    """
    parts = np.zeros(levels.shape)
    if len(values) < _LINE:
        return np.full(len(values), np.median(values) if len(values) else np.nan)
    for _ in range(_PASSES):
        for number, level in enumerate(levels.T):
            others = np.delete(parts, number, axis=1).sum(1)
            parts[:, number] = _of_one(values - others, level)
    return parts.sum(1)


def _of_one(values: np.ndarray, level: np.ndarray) -> np.ndarray:
    if np.ptp(level) == 0:
        return np.full(len(values), np.median(values))
    if len(values) < _LINES:
        from scipy.stats import theilslopes

        slope, intercept, *_ = theilslopes(values, level)
        return np.asarray(intercept + slope * level)
    from statsmodels.nonparametric.smoothers_lowess import lowess

    # Where half of the values lie on the curve, their residuals are divided by zero.
    with np.errstate(divide="ignore", invalid="ignore"):
        found = lowess(values, level, frac=_SHARE, it=_ROUNDS, delta=_APART * np.ptp(level), return_sorted=False)
    return np.asarray(found, dtype=np.float64)
