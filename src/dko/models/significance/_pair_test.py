"""Whether one gene is co-expressed with another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ._levels import Levels

_LEAST_SKEWNESS = 1e-3
# Genes that are expected to meet in fewer cells have to meet in more than chance has it.
_FEW = 2.0


def pair_p_values(z: np.ndarray, levels: Levels, genes: np.ndarray) -> np.ndarray:
    """Return two-sided p-values of z-scores of :func:`associations`, float64 (genes, all genes); 1 with themselves.

    The null is that the predictor is permuted over the cells in all ways. Mean, variance and skewness of the sum
    are then known exactly, and a gamma distribution has the same (Pearson III): rare genes that meet by chance in a few
    cells are far more skewed than a normal distribution. Three moments are too few for genes that are expected to meet
    in fewer than two cells: they also have to meet in more cells than a Poisson distribution has it.
    """
    from scipy.stats import gamma, norm

    n_cells = levels.shape[0]
    cubes = np.outer(levels.moments["predictor3"][genes], levels.moments["response3"])
    squares = np.outer(levels.moments["predictor2"][genes], levels.moments["response2"])
    # E (sum x y)^3 = n / ((n - 1)(n - 2)) sum x^3 sum y^3, over the variance sum x^2 sum y^2 / (n - 1) to the 3/2.
    shrunken = n_cells * np.sqrt(max(n_cells - 1, 1)) / max(n_cells - 2, 1)
    skewness = shrunken * cubes / np.maximum(squares, np.finfo(float).tiny) ** 1.5
    skewed = np.abs(skewness) > _LEAST_SKEWNESS
    shape = 4 / np.where(skewed, skewness, 1) ** 2
    along = np.where(skewness < 0, -z, z)
    at = np.maximum(shape + along * np.sqrt(shape), 0)
    above = np.where(skewed, gamma.sf(at, shape), norm.sf(along))
    below = np.where(skewed, gamma.cdf(at, shape), norm.cdf(along))
    p_values = np.maximum(2 * np.minimum(above, below), _by_meetings(levels, genes))
    p_values = np.clip(p_values, np.finfo(float).tiny, 1)
    p_values[:, ~levels.varies] = 1
    p_values[~levels.varies[genes]] = 1
    p_values[np.arange(len(genes)), genes] = 1
    return p_values


def _by_meetings(levels: Levels, genes: np.ndarray) -> np.ndarray:
    """Return twice the chance that genes meet in as many cells, deep cells more likely; 0 where many are expected."""
    from scipy.stats import poisson

    met, seen, share = levels.meetings(genes), levels.seen, levels.sizes / levels.sizes.sum()
    expected = np.outer(seen[genes], seen) * float(share @ share)
    few = expected < _FEW
    chances = np.zeros(met.shape)
    chances[few] = 2 * poisson.sf(met[few] - 1, expected[few])
    return chances
