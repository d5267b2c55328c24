"""Whether anything follows from a gene at all, in these cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import gamma, gumbel_r

from ._slopes import slopes

if TYPE_CHECKING:
    from ._regression import Regression

# Sums, and maxima, that the null is made of at least, in at least so many permutations.
_NULL, _PERMUTATIONS = 400, 2
# Cells of about the same depth that predictors are dealt among.
_ALIKE = 25
_TINY = 1e-12


def signal(z: np.ndarray, regression: Regression, rng: np.random.Generator) -> np.ndarray:
    """Return a p-value for each gene: that no other gene goes with it (float64, genes).

    The smaller of two: of the sum of the squared z-scores of a gene, for many weak slopes, and of the largest, for a
    single strong one; raised to what the smaller of two is worth, which the null says. Their null is that the
    predictors are dealt to other cells of about the same depth, as that decides how noisy a cell is. Of all genes
    together, it gives the moments of a gamma and of a Gumbel distribution, so that p-values can be smaller than one
    over the number of permutations. 1 for a gene that no cell has.
    """
    there = (z != 0).any(1)
    permutations = max(_PERMUTATIONS, -(-_NULL // max(1, int(there.sum()))))
    null = np.concatenate(
        [slopes(regression, _dealt(regression.depth, rng)).z[there] for _ in range(permutations)]
        if there.any()
        else [z[there]]
    )
    smaller, of_null = _smaller(z[there], null), _smaller(null, null)
    # The smaller of two independent p-values has the distribution Beta(1, 2), of two equal ones Beta(1, 1).
    worth = float(np.clip(-1 / min(np.log1p(-of_null).mean(), -_TINY), 1, 2)) if len(null) else 1.0
    p_values = np.ones(len(z))
    p_values[there] = -np.expm1(worth * np.log1p(-smaller))
    return p_values


def _smaller(z: np.ndarray, null: np.ndarray) -> np.ndarray:
    p_values = np.minimum(_gamma(_sums(z), _sums(null)), _gumbel(_largest(z), _largest(null)))
    return np.clip(p_values, np.finfo(float).tiny, 1 - 1e-9)


def _sums(z: np.ndarray) -> np.ndarray:
    return np.square(z, dtype=np.float64).sum(1)


def _largest(z: np.ndarray) -> np.ndarray:
    return np.abs(z).max(1, initial=0).astype(np.float64)


def _gamma(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Return the share of a gamma distribution with the moments of `null` that is above."""
    mean, variance = null.mean() if len(null) else 0.0, null.var() if len(null) else 0.0
    if variance <= _TINY:
        return np.ones(len(observed))
    return gamma.sf(observed, mean**2 / variance, scale=variance / mean)


def _gumbel(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Return the share of a Gumbel distribution, that of maxima, with the moments of `null` that is above."""
    spread = null.std() * np.sqrt(6) / np.pi if len(null) else 0.0
    if spread <= _TINY:
        return np.ones(len(observed))
    return gumbel_r.sf(observed, loc=null.mean() - np.euler_gamma * spread, scale=spread)


def _dealt(depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return for each cell another one, at random among those of about the same depth."""
    by_depth = np.lexsort([rng.random(len(depth)), depth])
    stratum = np.arange(len(depth)) // _ALIKE
    order = np.empty(len(depth), dtype=int)
    order[by_depth] = by_depth[np.lexsort([rng.random(len(depth)), stratum])]
    return order
