"""Empirical Bayes: how much of an estimate to believe, learned from all of them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import log_ndtr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Scales of the parts of the prior, in standard errors.
_SPREADS = 2.0 ** np.arange(-4, 5, 0.5)
# Steps of EM; the table of posterior means, which is also the histogram that the prior is fitted to.
_STEPS, _TABLE, _LARGEST = 200, 4_001, 60.0
# Estimates that are worked on at a time.
_PIECE = 2**20
# Estimates that the parts left by EM cannot explain must not divide by 0.
_TINY = 1e-200


def shrink(z: np.ndarray) -> np.ndarray:
    """Return the posterior means of estimates by :func:`shrinkage` fitted to themselves (float32, same shape)."""
    return shrinkage(z)(z)


def shrinkage(z: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Fit a prior to normal estimates with standard error 1; return what gives the posterior mean of such estimates.

    The prior is a mixture of 0 and of halves of normals, above and below 0, whose weights are fitted to the estimates
    by EM (Stephens 2017, adaptive shrinkage, with effects in units of their errors): of genes that activate more than
    they repress, a rise is more to be believed than a fall. Zeros, such as the diagonal of a matrix, are not counted,
    and stay.

    Parameters
    ----------
    z
        Estimates over their standard errors, any shape.
    """
    at = np.linspace(-_LARGEST, _LARGEST, _TABLE)
    flat, n_at = z.reshape(-1), np.zeros(_TABLE)
    for part in _pieces(flat):
        place = (np.clip(flat[part][flat[part] != 0], -_LARGEST, _LARGEST) + _LARGEST) * ((_TABLE - 1) / (2 * _LARGEST))
        n_at += np.bincount(np.rint(place).astype(int), minlength=_TABLE)
    if not n_at.any():
        return np.zeros_like
    log, mean = _parts(at)
    density = np.exp(log - log.max(1, keepdims=True)) + _TINY
    weights = np.full(log.shape[1], 1 / log.shape[1])
    for _ in range(_STEPS):
        share = density * weights
        share /= share.sum(1, keepdims=True)
        weights = n_at @ share / n_at.sum()
    # What is taken off is a function of one number: read off between the points of the table, and the same beyond.
    return partial(_without, at, at - (share * mean).sum(1))


def _without(at: np.ndarray, taken: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return estimates less what is taken off numbers such as these."""
    flat, found = z.reshape(-1), np.zeros(z.size, dtype=np.float32)
    for part in _pieces(flat):
        found[part] = np.where(flat[part] != 0, flat[part] - np.interp(flat[part], at, taken), 0)
    return found.reshape(z.shape)


def _pieces(flat: np.ndarray) -> Iterator[slice]:
    """Cut so that what is made of each number on the way is small beside them all."""
    yield from (slice(first, first + _PIECE) for first in range(0, len(flat), _PIECE))


def _parts(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the log density of estimates under each part of the prior, but for a constant, and the posterior means.

    Both are estimates x parts. With half of a normal of variance v for a prior the posterior is a normal with mean k z
    and variance k = v / (1 + v), cut off at 0.
    """
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
