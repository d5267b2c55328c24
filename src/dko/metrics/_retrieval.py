"""Whether predictions are about the knockout that they are for: each against the effects of all others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .._core.verb import verb
from .._rng import RNG, generator
from ._agreement import is_constant

_MIN_KNOCKOUTS = 3
# Correlations that differ by less are equal, and below this share of the sum of squares a variance is rounding.
_TIE, _ROUNDING = 1e-9, 1e-12


@verb
def retrieval(
    predicted: np.ndarray, measured: np.ndarray, *, centred: bool = False, cosine: bool = False
) -> np.ndarray:
    """Share of the other knockouts whose measured effect fits a prediction worse than that of its own knockout.

    Fit is the Pearson correlation over the genes that neither of two knockouts has lost. The same list of genes for
    every knockout gets 0.5 on average, however well it correlates.

    Parameters
    ----------
    predicted, measured
        Effects, knockouts x genes, rows in the same order; NaN at the genes that were knocked out.
    centred
        Subtract from each effect the mean effect of the other knockouts first, on both sides.
    cosine
        Fit is the cosine, over the genes that no knockout has lost (``pds_cosine`` of cell-eval2).

    Returns
    -------
    0 to 1, shape (knockouts,); ties count one half. NaN for a prediction of NaN alone, and with fewer than 3 knockouts.

    Examples
    --------
    >>> measured = np.array([[1.0, -1.0, 0.0, 0.5], [-1.0, 1.0, 0.5, 0.0], [0.0, 0.5, -1.0, 1.0]])
    >>> dko.metrics.retrieval(measured / 2, measured)
    array([1., 1., 1.])
    >>> same = np.tile(measured.mean(axis=0), (3, 1))  # one prediction for all knockouts
    >>> float(dko.metrics.retrieval(same, measured).mean())
    0.5
    """
    from sklearn.metrics.pairwise import cosine_similarity

    if centred:
        predicted, measured = _centre(predicted), _centre(measured)
    there = np.isfinite(predicted).any(axis=1) & np.isfinite(measured).any(axis=1)
    found = np.full(len(predicted), np.nan)
    if there.sum() < _MIN_KNOCKOUTS:
        return found
    predicted, measured = predicted[there], measured[there]
    if not cosine:
        found[there] = _share_worse(_own(predicted, measured) - _between(predicted, measured))
    elif (kept := np.isfinite(predicted).all(axis=0) & np.isfinite(measured).all(axis=0)).any():
        fit = cosine_similarity(predicted[:, kept], measured[:, kept])
        found[there] = _share_worse(np.diag(fit)[:, None] - fit)
    return found


@verb
def similarity(effects: np.ndarray) -> np.ndarray:
    """Mean rank correlation of the sizes of each effect with those of all others.

    Parameters
    ----------
    effects
        Knockouts x genes; NaN at the genes that were knocked out, which are left out of both sides of a pair.

    Returns
    -------
    Shape (knockouts,): near 1 where a method predicts the same for every knockout; compare with that of the measured
    effects. NaN for an effect that is constant or NaN, and where there is no other.

    Examples
    --------
    >>> measured = np.array([[1.0, -1.0, 0.0, 0.5], [-1.0, 1.0, 0.5, 0.0], [0.0, 0.5, -1.0, 1.0]])
    >>> dko.metrics.similarity(measured).round(2)
    array([-0.06, -0.06, -0.89])
    >>> same = np.tile([3.0, 1.0, 2.0, 0.0], (3, 1))  # one prediction for all knockouts
    >>> dko.metrics.similarity(same).round(2)
    array([1., 1., 1.])
    """
    from scipy.stats import rankdata

    varies = np.array([not is_constant(row) for row in effects], dtype=bool)
    found = np.full(len(effects), np.nan)
    if varies.sum() < 2:
        return found
    sizes = np.abs(effects[varies])
    # NaN sorts last, so that the ranks of the others are those among themselves.
    ranks = np.where(np.isfinite(sizes), rankdata(np.nan_to_num(sizes, nan=np.inf), axis=1), np.nan)
    pairs = _between(ranks, ranks)
    np.fill_diagonal(pairs, 0.0)
    found[varies] = pairs.sum(axis=1) / (len(pairs) - 1)
    return found


class Agreement(NamedTuple):
    """How often a nearest neighbour is of the same group, this by chance, and the one-sided p-value."""

    share: float
    expected: float
    p_value: float


@verb
def neighbour_agreement(
    vectors: np.ndarray, groups: Sequence[object] | np.ndarray, *, n_permutations: int = 1_000, rng: RNG = 0
) -> Agreement:
    """Return how often the nearest neighbour of a vector, by cosine, is of the same group.

    Parameters
    ----------
    vectors, groups
        n x dimensions, where vectors of length 0 are as far from all others; and the group of each.
    n_permutations
        How often the groups are permuted.
    %(rng)s

    Returns
    -------
    ``share``, ``expected`` by chance, and ``p_value`` (one-sided, at least 1 / (1 + n_permutations)); NaN for fewer
    than 3 vectors or a single group. Of several equally near neighbours, each counts in part.

    Examples
    --------
    >>> vectors = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    >>> found = dko.metrics.neighbour_agreement(vectors, ["B", "B", "T", "T"])
    >>> found.share, round(found.expected, 1)
    (1.0, 0.3)
    """
    from sklearn.metrics.pairwise import cosine_similarity

    if len(groups) != len(vectors):
        raise ValueError(f"groups needs one entry per vector ({len(vectors)}), got {len(groups)}.")
    names, numbers = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    if len(vectors) < 3 or len(names) < 2:
        return Agreement(np.nan, np.nan, np.nan)
    cosine = cosine_similarity(np.asarray(vectors, dtype=np.float64))
    np.fill_diagonal(cosine, -np.inf)
    nearest = cosine >= cosine.max(axis=1, keepdims=True) - 1e-12
    one, other = np.nonzero(nearest)
    weight, stream = 1 / nearest.sum(axis=1)[one], generator(rng)

    def share(of: np.ndarray) -> float:
        return float(weight @ (of[one] == of[other])) / len(vectors)

    found = share(numbers)
    permuted = np.array([share(stream.permutation(numbers)) for _ in range(n_permutations)])
    p_value = (1 + (permuted >= found - 1e-12).sum()) / (1 + n_permutations)
    return Agreement(found, float(permuted.mean()), float(p_value))


def _share_worse(gain: np.ndarray) -> np.ndarray:
    """Return the share of the other knockouts that fit worse, from how much better the own one fits than each."""
    better = np.where(np.abs(gain) < _TIE, 0.5, gain > 0)
    np.fill_diagonal(better, 0.0)
    return better.sum(axis=1) / (len(better) - 1)


def _centre(effects: np.ndarray) -> np.ndarray:
    """Subtract from each row the mean of the others, gene by gene; what is left of equal rows is 0, not rounding."""
    known = np.isfinite(effects)
    total, n = np.where(known, effects, 0.0).sum(axis=0), known.sum(axis=0)
    others = (total - np.where(known, effects, 0.0)) / np.maximum(n - known, 1)
    left = effects - others
    return np.where(np.abs(left) <= 1e-12 * np.nanmax(np.abs(effects), initial=0.0), 0.0 * left, left)


def _between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the correlation of each row of `a` with each of `b`, over genes that are NaN in neither; 0 if constant."""
    # Matrix products for all pairs at once, where pandas has a loop.
    x, y = np.nan_to_num(a), np.nan_to_num(b)
    has_x, has_y = np.isfinite(a).astype(float), np.isfinite(b).astype(float)
    return _pearson(has_x @ has_y.T, x @ y.T, x @ has_y.T, has_x @ y.T, x**2 @ has_y.T, has_x @ (y**2).T)


def _own(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return that of row i of `a` with row i of `b`, for each j also without the genes that are NaN in row j of `b`."""
    known = np.isfinite(a) & np.isfinite(b)
    x, y = np.where(known, a, 0.0), np.where(known, b, 0.0)
    there = np.isfinite(b).astype(float).T
    return _pearson(known.astype(float) @ there, (x * y) @ there, x @ there, y @ there, x**2 @ there, y**2 @ there)


def _pearson(n: np.ndarray, xy: np.ndarray, x: np.ndarray, y: np.ndarray, xx: np.ndarray, yy: np.ndarray) -> np.ndarray:
    """Return correlations from the number of genes and the sums over them."""
    n = np.maximum(n, 1)
    spread_x, spread_y = xx - x**2 / n, yy - y**2 / n
    defined = (spread_x > _ROUNDING * xx) & (spread_y > _ROUNDING * yy)
    scale = np.sqrt(np.where(defined, spread_x * spread_y, 1.0))
    return np.where(defined, (xy - x * y / n) / scale, 0.0)
