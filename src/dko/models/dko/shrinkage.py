"""Adaptive shrinkage (Stephens 2017): what estimates with known errors are worth, by empirical Bayes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import log_ndtr

from .._parallel import in_parallel
from .kernels import count, take_off

# Scales of the parts of the prior, in standard errors.
_SPREADS = 2.0 ** np.arange(-4, 5, 0.5)
# Steps of EM; the table of posterior means, which is also the histogram that the prior is fitted to.
_STEPS, _TABLE, _LARGEST = 200, 4_001, 60.0
# Estimates that the parts left by EM cannot explain must not divide by 0.
_TINY = 1e-200
# Rows that one thread takes at a time.
_PIECE = 64


def shrinkage(z: np.ndarray) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Fit a mixture of 0 and half-normals to normal estimates with error 1 (float32, 2-D); zeros are not counted.

    By EM. Returned is a function that turns estimates into posterior means times a scale per column, in place; zeros,
    such as the diagonal of a matrix, stay.
    """
    at, n_at = np.linspace(-_LARGEST, _LARGEST, _TABLE), np.zeros(_TABLE, dtype=np.int64)
    count(z, _LARGEST, n_at)
    taken = at
    if n_at.any():
        log, mean = _parts(at)
        density = np.exp(log - log.max(1, keepdims=True)) + _TINY
        weights = np.full(log.shape[1], 1 / log.shape[1])
        for _ in range(_STEPS):
            share = density * weights
            share /= share.sum(1, keepdims=True)
            weights = n_at @ share / n_at.sum()
        # What is taken off is a function of one number, which goes on beyond the table as it ends.
        taken = at - (share * mean).sum(1)

    def shrink(z: np.ndarray, scale: np.ndarray) -> np.ndarray:
        def work(first: int) -> None:
            take_off(z[first : first + _PIECE], _LARGEST, taken, scale)

        in_parallel(work, range(0, len(z), _PIECE))
        return z

    return shrink


def _parts(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the log density of estimates under each part of the prior, but for a constant, and the posterior means."""
    kept = _SPREADS**2 / (1 + _SPREADS**2)
    sd = np.sqrt(kept)
    whole = -0.5 * (z[:, None] ** 2 * (1 - kept) + np.log1p(_SPREADS**2)) + np.log(2)
    logs, means = [-0.5 * z[:, None] ** 2], [np.zeros((len(z), 1))]
    for sign in (1, -1):
        side = sign * z[:, None]
        above = log_ndtr(sd * side)
        logs.append(whole + above)
        means.append(sign * (kept * side + sd * np.exp(-0.5 * kept * side**2 - above) / np.sqrt(2 * np.pi)))
    return np.hstack(logs), np.hstack(means)
