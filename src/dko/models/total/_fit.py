"""Fitting the total effects of all genes."""

from __future__ import annotations

from dataclasses import dataclass
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
    from scipy import sparse

    from ._prior import Prior
    from ._regression import Regression

# Penalty of the regression on all genes: what is shared by so many genes counts half. Chosen by leaving out each set of
# cells of the benchmark in turn (docs/accuracy.md).
_PENALTY = 30.0
# Standard deviations by which the loss of a gene moves it at most: a gene that all cells have is not extrapolated to 0.
_FARTHEST = 3.0
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
    coefficients are at full size, times the standard deviations by which the loss of a gene moves it.

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
    found = slopes(cells)
    shrunken = shrinkage(found.z)
    by_response = (found.error * _trust(cells)).astype(np.float32)
    changes = _ridge(found.correlation, shrunken(found.z) * by_response)
    step = np.where(np.isfinite(cells.spread), np.minimum(1 / cells.spread, _FARTHEST), 1.0)
    influence = np.clip(changes.T * step.astype(np.float32), -_BOUND, _BOUND)
    genes, products, together = permuted(cells, rng)
    z = products / (found.error * cells.weight).astype(np.float32)
    z[np.arange(len(genes)), genes] = 0
    # The ridge of a gene beside all others, of which it knows but by chance.
    null = shrunken(z) * by_response - together @ changes / _PENALTY
    seen, profile = np.bincount(profiles.indices, minlength=len(step)), np.asarray(profiles.mean(axis=0)).ravel()
    drawn = Null(genes, null.astype(np.float16))
    # With a prior too, what the cells alone give is tested.
    evidence = p_values(impacts_of_all(influence, profile) / step, drawn, seen, profile)
    agreed = None
    if prior is not None:
        agreed = agreement(influence, prior)
        influence = np.clip(with_prior(influence, prior, seen / len(totals), cells.zeros), -_BOUND, _BOUND)
    factors = FactorMap(np.ascontiguousarray(influence), found.correlation.astype(np.float16), step.astype(np.float32))
    return TotalFit(factors, drawn, evidence, impacts_of_all(influence, profile), agreed)


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
