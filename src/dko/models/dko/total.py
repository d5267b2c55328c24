"""Fitting the total effects of all genes: slopes, shrunken by empirical Bayes, and a heavy ridge penalty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import solve
from scipy.special import log_ndtr
from threadpoolctl import threadpool_limits

from ..knockout import FactorMap
from .prior import agreement, with_prior
from .regression import Null, impacts_of_all, p_values, permuted, regression, slopes

if TYPE_CHECKING:
    from collections.abc import Callable

    from scipy import sparse

    from .prior import Prior
    from .regression import Regression


# Penalty of the regression on all genes: what is shared by so many genes counts half. Chosen by leaving out each set of
# cells of the benchmark in turn (docs/accuracy.md).
_PENALTY = 30.0
# Standard deviations by which the loss of a gene moves it at most: a gene that all cells have is not extrapolated to 0.
_FARTHEST = 3.0
# Part of the profile that a knockout has to change to be halved: what is correlated with so much is not all due to it.
_HALVED = 0.2
# Largest change of the log of a share.
_BOUND = 5.0
# Multiplications of a matrix product below which one thread makes it, in about a second: a second one gains little, and
# on a busy machine the first waits for it at full use of its core.
_SMALL_PRODUCT = 2**35
# Scales of the parts of the prior, in standard errors.
_SPREADS = 2.0 ** np.arange(-4, 5, 0.5)
# Steps of EM; the table of posterior means, which is also the histogram that the prior is fitted to.
_STEPS, _TABLE, _LARGEST = 200, 4_001, 60.0
# Estimates that the parts left by EM cannot explain must not divide by 0.
_TINY = 1e-200
# Cells that a gene is judged by, at least, and the least variance and share that count as one.
_MIN_CELLS, _LEAST = 10, 1e-9


@dataclass(frozen=True)
class TotalFit:
    """Total effects."""

    factors: FactorMap  # what knockouts do to observed profiles
    null: Null  # what those of permuted genes seem to do
    p_values: np.ndarray  # whether the knockout of a gene changes any other, in the mean profile (genes,)
    downstream: np.ndarray  # by how much it changes it, to first order (genes,)
    agreement: float | None = None  # share of the prior of which the cells alone give the same sign


def fit(
    profiles: sparse.csr_matrix,
    totals: np.ndarray,
    rng: np.random.Generator,
    *,
    counts: bool,
    prior: Prior | None = None,
) -> TotalFit:
    """Estimate what every gene does to every other, on all paths: docs/design.md, Total effects.

    `profiles` are cells x genes, float32, no cell empty; `totals` the sum of the values of each cell; `counts` says
    whether these are counts. `rng` permutes cells for the null; the map does not depend on it.
    """
    small = profiles.shape[0] * profiles.shape[1] ** 2 < _SMALL_PRODUCT
    with threadpool_limits(1 if small else None, "blas"):
        cells = regression(profiles, totals, counts=counts)
        seen, mean = (
            np.bincount(profiles.indices, minlength=profiles.shape[1]),
            np.asarray(profiles.mean(axis=0)).ravel(),
        )
        found = slopes(cells)
        shrunken, by_response = shrinkage(found.z), (found.error * _trust(cells)).astype(np.float32)
        # How far the log share of gene j falls with a standard deviation of gene g (genes g x j).
        changes = _ridge(found.correlation, shrunken(found.z) * by_response)
        impact = impacts_of_all(changes.T, mean)
        step = np.where(np.isfinite(cells.spread), np.minimum(1 / cells.spread, _FARTHEST), 1.0)
        step /= 1 + impact * step / _HALVED
        genes, products, together = permuted(cells, rng)
        z = products / (found.error * cells.weight).astype(np.float32)
        z[np.arange(len(genes)), genes] = 0
        # The ridge of a gene beside all others, with which it correlates but by chance.
        by_chance = shrunken(z) * by_response - together @ changes / _PENALTY
        null = Null(genes, by_chance.astype(np.float16))
        # With a prior too, what the cells alone give is tested.
        rates = p_values(impact, null, seen, mean)
        influence = np.ascontiguousarray(np.clip(changes.T * step.astype(np.float32), -_BOUND, _BOUND))
        agreed = None
        if prior is not None:
            agreed = agreement(influence, prior)
            both = with_prior(influence, prior, seen / profiles.shape[0], cells.zeros)
            influence = np.clip(both, -_BOUND, _BOUND)
        factors = FactorMap(influence, found.correlation.astype(np.float16), step.astype(np.float32))
        return TotalFit(factors, null, rates, impacts_of_all(influence, mean), agreed)


def influence(profiles: sparse.csr_matrix, totals: np.ndarray, *, counts: bool) -> np.ndarray:
    """Return the slopes of one regression per pair, without ridge and bounds, float32, column g of gene g."""
    cells = regression(profiles, totals, counts=counts)
    found = slopes(cells)
    whole = np.where(np.isfinite(cells.spread), 1 / cells.spread, 0).astype(np.float32)
    by_response = (found.error * _trust(cells)).astype(np.float32)
    return np.ascontiguousarray((shrinkage(found.z)(found.z) * by_response).T * whole)


def _ridge(correlation: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """Return the coefficients of regressions on all genes, lambda inverse(R + lambda) slopes (genes g x genes j)."""
    penalised = correlation / np.float32(_PENALTY)
    penalised.flat[:: len(penalised) + 1] += 1
    found = solve(penalised, slopes, assume_a="pos", overwrite_a=True, check_finite=False)
    np.fill_diagonal(found, 0)
    return found


def _trust(cells: Regression) -> np.ndarray:
    """Return the weight of each response: where zeros count, an effect on presence moves a gene by its whole level."""
    seen = np.bincount(cells.profiles.indices, minlength=len(cells.level))
    return (cells.level / np.average(cells.level, weights=np.maximum(seen, 1))) ** cells.zeros


def shrinkage(z: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Fit a mixture of 0 and half-normals to normal estimates with error 1; return what gives posterior means.

    By EM (Stephens 2017, adaptive shrinkage). Zeros, such as the diagonal of a matrix, are not counted, and stay.
    """
    at, n_at = np.linspace(-_LARGEST, _LARGEST, _TABLE), np.zeros(_TABLE)
    for row in np.atleast_2d(z):
        place = (np.clip(row[row != 0], -_LARGEST, _LARGEST) + _LARGEST) * ((_TABLE - 1) / (2 * _LARGEST))
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
    taken = at - (share * mean).sum(1)

    def shrunken(z: np.ndarray) -> np.ndarray:
        found = np.zeros_like(z)
        for row, out in zip(np.atleast_2d(z), np.atleast_2d(found), strict=True):
            out[:] = np.where(row != 0, row - np.interp(row, at, taken), 0)
        return found

    return shrunken


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


def explained(profiles: sparse.csr_matrix, predicted: np.ndarray) -> float:
    """Return the share of the variance of log shares, where genes are present, that a prediction explains.

    Around each gene's regression on log depth (number of present genes), as who knows the assemblage knows that. Mean
    over genes, not below 0 for any; NaN where no gene is seen in enough cells. `predicted` is for each entry of
    `profiles`.
    """
    n_genes, indices = profiles.shape[1], profiles.indices
    present = np.diff(profiles.indptr)

    def sums(values: np.ndarray) -> np.ndarray:
        return np.bincount(indices, weights=values, minlength=n_genes)

    seen = np.bincount(indices, minlength=n_genes)
    observed, depth = np.log(profiles.data.astype(np.float64)), np.log(np.repeat(present, present))
    observed_apart, depth_apart = (one - (sums(one) / np.maximum(seen, 1))[indices] for one in (observed, depth))
    slope = sums(observed_apart * depth_apart) / np.maximum(sums(depth_apart**2), _LEAST)
    around = sums((observed_apart - slope[indices] * depth_apart) ** 2)
    left = sums((observed - np.log(np.maximum(predicted, _LEAST))) ** 2)
    judged = (seen >= _MIN_CELLS) & (around > _LEAST * seen)
    if not judged.any():
        return float("nan")
    return float(np.maximum(0, 1 - left[judged] / around[judged]).mean())
