"""Whether two genes do more or less together than unrelated ones would."""

from __future__ import annotations

import numpy as np

# Genes of similar expression among which numbers are moved: enough for chance to be wide, few enough for a gene to keep
# its impact.
_STRATUM = 10


def draw_moves(shares: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw permutations of genes, n x genes, within strata of similar mean share."""
    moves = np.empty((n, len(shares)), dtype=np.int64)
    for stratum in np.array_split(np.argsort(-shares, kind="stable"), max(1, len(shares) // _STRATUM)):
        moves[:, stratum] = rng.permuted(np.tile(stratum, (n, 1)), axis=1)
    return moves


def relative_interaction(impacts: np.ndarray) -> np.ndarray:
    """Return the interaction relative to what the singles add up to; `impacts` ... x 3 of both genes and of each."""
    additive = impacts[..., 1] + impacts[..., 2]
    return np.divide(impacts[..., 0] - additive, additive, out=np.zeros_like(additive), where=additive > 0)


def against_null(relative: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hold relative interactions, pairs x (1 + permutations), the first without a permutation, against the others.

    Returns
    -------
    Mean over the permutations; z, how far the first one is from it in standard deviations; and two-sided p-values: the
    share of the z of all permutations of all pairs, each against the other permutations, that are as far. That chance
    is not normal is in them then, and they go far below the inverse of the permutations of one pair. 0 and 1 for a pair
    that no permutation changes.
    """
    found, null = relative[:, 0], relative[:, 1:]
    n, expected, variance = null.shape[1], null.mean(axis=1), null.var(axis=1, ddof=1)
    # Of numbers that are all the same, rounding leaves a little.
    usable = variance > 1e-18
    z = np.zeros(len(found))
    z[usable] = (found - expected)[usable] / np.sqrt(variance[usable] * (1 + 1 / n))
    apart = (null - expected[:, None])[usable]
    of_others = ((n - 1) * variance[usable][:, None] - apart**2 * n / (n - 1)) / (n - 2)
    chance = np.sort(np.abs(apart).ravel() * np.sqrt(n / (n - 1) / np.maximum(of_others.ravel(), 1e-30)))
    further = len(chance) - np.searchsorted(chance, np.abs(z))
    return expected, z, np.where(usable, (1 + further) / (1 + len(chance)), 1.0)
