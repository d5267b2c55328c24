"""Whether vectors of one group lie side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .._core.verb import verb
from .._rng import generator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._rng import RNG


class Agreement(NamedTuple):
    """How often a nearest neighbour is of the same group.

    Attributes
    ----------
    share
        Of vectors whose nearest neighbour is of their group.
    expected
        The mean of this share over permutations of the groups.
    p_value
        Share of permutations that have as many.
    """

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
    vectors
        n x dimensions; vectors of length 0 are as far from all others.
    groups
        The group of each.
    n_permutations
        How often the groups are dealt out anew.
    rng
        Decides how.

    Returns
    -------
    Three numbers: ``share``, ``expected`` by chance, and ``p_value`` (one-sided, at least 1 / (1 + n_permutations)).
    All are NaN for fewer than 3 vectors or a single group. Of several equally near neighbours, each counts in part.

    Raises
    ------
    ValueError
        Not one group per vector; `n_permutations` below 1.
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    if len(groups) != len(vectors):
        raise ValueError(f"groups needs one entry per vector ({len(vectors)}), got {len(groups)}.")
    if n_permutations < 1:
        raise ValueError(f"n_permutations={n_permutations} must be at least 1.")
    names, numbers = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    if len(vectors) < 3 or len(names) < 2:
        return Agreement(np.nan, np.nan, np.nan)
    nearest, stream = _nearest(vectors), generator(rng)
    one, other = np.nonzero(nearest)
    weight = nearest[one, other]

    def share(of: np.ndarray) -> float:
        return float(weight @ (of[one] == of[other])) / len(vectors)

    found = share(numbers)
    dealt = np.array([share(stream.permutation(numbers)) for _ in range(n_permutations)])
    p_value = (1 + (dealt >= found - 1e-12).sum()) / (1 + n_permutations)
    return Agreement(found, float(dealt.mean()), float(p_value))


def _nearest(vectors: np.ndarray) -> np.ndarray:
    """Return weights of the nearest neighbours of each row (n x n, rows sum to 1)."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(lengths > 0, lengths, 1.0)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    nearest = similarity >= similarity.max(axis=1, keepdims=True) - 1e-12
    return nearest / nearest.sum(axis=1, keepdims=True)
