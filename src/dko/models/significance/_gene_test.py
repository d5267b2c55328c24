"""Whether any other gene is co-expressed with a gene."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import gamma

from ._associations import associations, dealt_associations

if TYPE_CHECKING:
    from ._levels import Levels

# Draws of the null that are made of all genes together, and in how many permutations at least and at most.
_NULL, _FEWEST, _MOST = 50_000, 20, 1_000
# Draws that the moments of one gene are made of, and the share of all draws that is their tail.
_LOCAL, _TAIL = 1_000, 0.01
# Standard errors from a number to the upper end of its one-sided 95 % interval.
_SURE = 1.645
_TINY = np.finfo(float).tiny


def gene_p_values(levels: Levels, rng: np.random.Generator, n_permutations: int | None = None) -> np.ndarray:
    """Return a p-value for each gene: that no other gene is co-expressed but through depth (float64, genes).

    Two statistics: the sum of the squared z-scores of a gene, for many weak associations, and the largest, for a single
    strong one. Their null is that the predictors are permuted over the cells, all genes at once, which keeps how the
    responses are correlated. Moments of the null are those of the gene and of its neighbours in kurtosis, which is
    what decides its form: a rare gene meets others by chance in a few cells. Each statistic has a p-value by a gamma
    distribution of these moments; the smaller of the two is held against the smaller of two in the null of all genes,
    whose 1 % smallest give the power law beyond them. As the draws are not without number, this is
    the upper end of a one-sided 95 % interval.

    Parameters
    ----------
    n_permutations
        Default: so many that there are 50,000 draws of the null, but 20 to 1,000.
    """
    there = levels.varies
    p_values = np.ones(len(there))
    if there.sum() < 2:
        return p_values
    observed = _statistics(associations(levels), there)
    null = np.empty((2, n_permutations or _permutations_of(int(there.sum())), int(there.sum())))
    for number in range(null.shape[1]):
        null[:, number] = _statistics(dealt_associations(levels, rng.permutation(levels.shape[0])), there)
    p_values[there] = _combined(observed, null, levels.kurtosis[there])
    return p_values


def _permutations_of(n_genes: int) -> int:
    """Return the default number of permutations."""
    return int(np.clip(-(-_NULL // max(n_genes, 1)), _FEWEST, _MOST))


def _statistics(z: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Return the sum of squares, and the log of the largest, of each gene (2, genes)."""
    size = np.abs(z[there])
    sums = np.einsum("gj,gj->g", size, size, dtype=np.float64)
    return np.stack([sums, np.log(np.maximum(size.max(1), _TINY))])


def _combined(observed: np.ndarray, null: np.ndarray, kurtosis: np.ndarray) -> np.ndarray:
    """Return p-values of statistics (2, genes) by those of permutations (2, permutations, genes)."""
    width = max(2, -(-_LOCAL // (2 * null.shape[1])))
    smaller, of_null = np.ones(observed.shape[1]), np.ones(null.shape[1:])
    for statistic, draws in zip(observed, null, strict=True):
        moments = _moments(draws, kurtosis, width)
        smaller = np.minimum(smaller, _gamma(statistic, *moments))
        of_null = np.minimum(of_null, _gamma(draws, *moments))
    return _ranked(smaller, np.sort(of_null, axis=None))


def _moments(draws: np.ndarray, kurtosis: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, standard deviation and skewness of each gene's null, over its neighbours in kurtosis."""
    order = np.argsort(kurtosis, kind="stable")
    place = np.arange(len(order))
    first = np.clip(place - width, 0, max(len(order) - 2 * width - 1, 0))
    last = np.minimum(first + 2 * width + 1, len(order))

    def local(values: np.ndarray) -> np.ndarray:
        sums, smooth = np.concatenate([[0], np.cumsum(values[order])]), np.empty(len(order))
        smooth[order] = (sums[last] - sums[first]) / (last - first)
        return smooth

    mean = local(draws.mean(0))
    sd = np.sqrt(np.maximum(local(((draws - mean) ** 2).mean(0)), _TINY))
    return mean, sd, local((((draws - mean) / sd) ** 3).mean(0))


def _gamma(values: np.ndarray, mean: np.ndarray, sd: np.ndarray, skewness: np.ndarray) -> np.ndarray:
    """Return the share above of gamma distributions with these moments; a null has a long tail above, not below."""
    shape = 4 / np.maximum(skewness, 1e-3) ** 2
    at = shape + (values - mean) / sd * np.sqrt(shape)
    return np.maximum(gamma.sf(np.maximum(at, 0), shape), _TINY)


def _ranked(p_values: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Return the share of draws of the null, ascending, that are as small, and beyond the smallest by a power law."""
    tail = max(2, int(_TAIL * len(null)))
    n_smaller = np.maximum(np.searchsorted(null, p_values, side="right"), tail)
    edge = null[tail - 1]
    fall = 1 / max(float(np.mean(np.log(edge / null[:tail]))), _TINY)
    beyond = np.maximum(fall * (np.log(edge) - np.log(p_values)), 0)
    # Both the number of draws and, beyond the edge, the fall are known with an error: relative ones, added as squares.
    error = _SURE * np.sqrt((1 + beyond**2) / n_smaller)
    return np.clip((n_smaller + 0.5) / (len(null) + 1) * np.exp(error - beyond), _TINY, 1)
