"""Fitting the total effects of all genes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import solve

from ..knockout import FactorMap
from ._null import Null, impacts_of_all, p_values, permuted
from ._prior import agreement, with_prior
from ._regression import regression
from ._shrink import shrinkage
from ._slopes import slopes

if TYPE_CHECKING:
    from collections.abc import Callable

    from scipy import sparse

    from ._prior import Prior
    from ._regression import Regression
    from ._slopes import Slopes

# Penalty of the regression on all genes: what is shared by so many genes counts half. Chosen by leaving out each set of
# cells of the benchmark in turn (docs/accuracy.md).
_PENALTY = 30.0
# Standard deviations by which the loss of a gene moves it at most: a gene that all cells have is not extrapolated to 0.
_FARTHEST = 3.0
# Part of the profile that a knockout has to change to be halved: what is correlated with so much is not all due to it.
_HALVED = 0.2
# Largest change of the log of a share.
_BOUND = 5.0


@dataclass(frozen=True)
class TotalFit:
    """Total effects.

    Attributes
    ----------
    factors
        What knockouts do to observed profiles.
    null
        What those of permuted genes seem to do.
    p_values
        Whether the knockout of a gene changes any other, in the mean profile (genes,).
    downstream
        By how much it changes it, to first order (genes,).
    agreement
        Share of what is known beforehand of which the cells alone give the same sign; None without a prior.
    """

    factors: FactorMap
    null: Null
    p_values: np.ndarray
    downstream: np.ndarray
    agreement: float | None = None


def fit(
    profiles: sparse.csr_matrix,
    totals: np.ndarray,
    rng: np.random.Generator,
    *,
    counts: bool,
    prior: Prior | None = None,
) -> TotalFit:
    """Estimate what every gene does to every other, on all paths, from relative profiles.

    One regression per pair of genes (:class:`Regression`), shrunken by empirical Bayes, then that on all genes at once
    with a heavy ridge penalty: what a whole program of genes has in common is not the effect of each of them. Its
    coefficients are at full size, times the standard deviations by which the loss of a gene moves it; both bounded.

    Parameters
    ----------
    profiles
        Relative profiles, cells x genes, float32, no cell empty.
    totals
        Sum of the values of each cell; cells weigh as much.
    rng
        Permutes cells for the null; the map does not depend on it.
    counts
        Whether the values are counts.
    prior
        What is known of some genes beside the cells; the others are as without it.
    """
    cells = regression(profiles, totals, counts=counts)
    estimate = _estimate(cells)
    drawn = _null(cells, estimate, rng)
    seen = np.bincount(profiles.indices, minlength=profiles.shape[1])
    rates = p_values(estimate.impact, drawn, seen, _mean(profiles))
    # With a prior too, what the cells alone give is tested.
    factors, agreed = estimate.factors(), None
    if prior is not None:
        agreed = agreement(factors.influence, prior)
        both = with_prior(factors.influence, prior, seen / len(totals), cells.zeros)
        factors = replace(factors, influence=np.clip(both, -_BOUND, _BOUND))
    return TotalFit(factors, drawn, rates, impacts_of_all(factors.influence, _mean(profiles)), agreed)


def influence(profiles: sparse.csr_matrix, totals: np.ndarray, *, counts: bool) -> np.ndarray:
    """Return the slopes on the whole of each gene, one regression per pair: float32, genes x genes, column g of gene g.

    Without the ridge and the bounds of knockouts: what tells genes apart, and not how large its effects are. The
    arguments are those of :func:`fit`.
    """
    cells = regression(profiles, totals, counts=counts)
    found = slopes(cells)
    whole = np.where(np.isfinite(cells.spread), 1 / cells.spread, 0).astype(np.float32)
    by_response = (found.error * _trust(cells)).astype(np.float32)
    return np.ascontiguousarray((shrinkage(found.z)(found.z) * by_response).T * whole)


def _mean(profiles: sparse.csr_matrix) -> np.ndarray:
    return np.asarray(profiles.mean(axis=0)).ravel()


@dataclass(frozen=True)
class _Estimate:
    """What is known of the slopes on all genes.

    Attributes
    ----------
    slopes
        What is fitted to them.
    shrunken, by_response
        Posterior means of z-scores, and their units as changes of the log of a share (genes j,).
    changes
        By how much the log of the share of gene j falls with one standard deviation of gene g (genes g x genes j).
    impact
        Downstream impact of that on the mean profile (genes g,).
    step
        Standard deviations by which the loss of a gene moves it (genes g,).
    """

    slopes: Slopes
    shrunken: Callable[[np.ndarray], np.ndarray]
    by_response: np.ndarray
    changes: np.ndarray
    impact: np.ndarray
    step: np.ndarray

    def factors(self) -> FactorMap:
        """Return the map of whole losses."""
        whole = np.clip(self.changes.T * self.step.astype(np.float32), -_BOUND, _BOUND)
        together = self.slopes.correlation.astype(np.float16)
        return FactorMap(np.ascontiguousarray(whole), together, self.step.astype(np.float32))


def _estimate(cells: Regression) -> _Estimate:
    found = slopes(cells)
    shrunken = shrinkage(found.z)
    by_response = (found.error * _trust(cells)).astype(np.float32)
    changes = _ridge(found.correlation, shrunken(found.z) * by_response)
    impact = impacts_of_all(changes.T, _mean(cells.profiles))
    step = np.where(np.isfinite(cells.spread), np.minimum(1 / cells.spread, _FARTHEST), 1.0)
    return _Estimate(found, shrunken, by_response, changes, impact, step / (1 + impact * step / _HALVED))


def _null(cells: Regression, estimate: _Estimate, rng: np.random.Generator) -> Null:
    genes, products, together = permuted(cells, rng)
    z = products / (estimate.slopes.error * cells.weight).astype(np.float32)
    z[np.arange(len(genes)), genes] = 0
    # The ridge of a gene beside all others, with which it correlates but by chance.
    changes = estimate.shrunken(z) * estimate.by_response - together @ estimate.changes / _PENALTY
    return Null(genes, changes.astype(np.float16))


def _ridge(correlation: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """Return the coefficients of the regressions on all genes, from the slopes on each alone (genes g x genes j).

    lambda inverse(R + lambda) slopes: for a penalty as large as this, slopes less what other genes explain of them.
    """
    penalised = correlation / np.float32(_PENALTY)
    penalised.flat[:: len(penalised) + 1] += 1
    found = solve(penalised, slopes, assume_a="pos", overwrite_a=True, check_finite=False)
    np.fill_diagonal(found, 0)
    return found


def _trust(cells: Regression) -> np.ndarray:
    """Return the weight of each response: where zeros count, an effect on presence moves a gene by its whole level."""
    seen = np.bincount(cells.profiles.indices, minlength=len(cells.level))
    return (cells.level / np.average(cells.level, weights=np.maximum(seen, 1))) ** cells.zeros
