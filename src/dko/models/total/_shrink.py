"""Empirical Bayes: how much of an estimate to believe, learned from all of them."""

from __future__ import annotations

import numpy as np

# Standard deviations of the parts of the prior, in standard errors; 0 for what is nothing at all.
_SPREADS = np.concatenate([[0.0], 2.0 ** np.arange(-4, 5, 0.5)])
# Steps of EM; the table of posterior means, which is also the histogram that the prior is fitted to.
_STEPS, _TABLE, _LARGEST = 200, 4_001, 60.0


def shrink(z: np.ndarray) -> np.ndarray:
    """Return the posterior means of normal estimates with standard error 1 (float32, same shape).

    The prior is a mixture of normals around 0 whose weights are fitted to the estimates by EM (Stephens 2017, adaptive
    shrinkage, with effects in units of their errors). Zeros, such as the diagonal of a matrix, are not counted.

    Parameters
    ----------
    z
        Estimates over their standard errors, any shape.
    """
    at = np.linspace(0, _LARGEST, _TABLE)
    size = np.minimum(np.abs(z[z != 0]), _LARGEST)
    if not len(size):
        return np.zeros_like(z, dtype=np.float32)
    n_at = np.bincount(np.rint(size * ((_TABLE - 1) / _LARGEST)).astype(int), minlength=_TABLE)
    log = _log_density(at)
    density = np.exp(log - log.max(1, keepdims=True))
    weights = np.full(len(_SPREADS), 1 / len(_SPREADS))
    for _ in range(_STEPS):
        share = density * weights
        share /= share.sum(1, keepdims=True)
        weights = n_at @ share / len(size)
    # The posterior mean is a function of one number: read off between the points of the table.
    kept = share @ (_SPREADS**2 / (1 + _SPREADS**2))
    return (z * np.interp(np.abs(z), at, kept)).astype(np.float32)


def _log_density(z: np.ndarray) -> np.ndarray:
    """Return the log density of estimates under each part of the prior, but for a constant (estimates, parts)."""
    variance = 1 + _SPREADS**2
    return -0.5 * (z[:, None] ** 2 / variance + np.log(variance))
