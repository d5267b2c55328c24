from __future__ import annotations

import numpy as np
import pytest

from dko.models.dko.prior import Prior, with_prior


def size(effects, share):
    """Root mean square of the effects of a gene, as all cells show them."""
    return np.sqrt(np.mean([(effect * part) ** 2 for effect, part in zip(effects, share, strict=True)]))


def test_edges_count_as_much_as_what_the_cells_show_of_their_gene():
    """Edges by the sign and ratio of their weights, and what targets do in turn; other genes stay as they are."""
    rng, n = np.random.default_rng(0), 8
    influence = rng.normal(0, 0.2, (n, n))
    np.fill_diagonal(influence, 0)
    share, zeros = rng.uniform(0.1, 1, n), rng.uniform(0, 1, n)
    falls = np.full((2, n), np.nan, dtype=np.float32)
    falls[0, [3, 4, 6]], falls[1, [2, 5]] = [1, -2, 0.5], [0.3, 0.4]
    prior = Prior(np.array([1, 7]), falls, measured=False)
    found = with_prior(influence, prior, share, zeros)
    expected, edges = influence.copy(), np.nan_to_num(falls).astype(float)
    for row, gene in zip(edges, prior.genes, strict=True):
        own = size(influence[:, gene], share)
        direct = np.clip(prior.weight * row * share / size(row, share), -2, 2) / share
        onward = sum(
            row[target] * np.delete(influence[:, target], target) @ np.delete(np.eye(n), target, axis=0)
            / size(np.delete(influence[:, target], target), np.delete(share, target)) * np.sqrt(n / (n - 1))
            for target in np.flatnonzero(edges.any(axis=0))
        )  # fmt: skip
        onward[gene] = 0
        added = zeros[gene] * own * (direct + prior.weight * onward / size(onward, share))
        added[gene] = 0
        expected[:, gene] += added
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    assert np.abs(found - influence)[:, prior.genes].max() > 0.01


def test_measured_effects_are_averaged_with_those_of_the_cells():
    influence = np.arange(9.0).reshape(3, 3) * (1 - np.eye(3))
    prior = Prior(np.array([1]), np.array([[2.0, np.nan, np.nan]], dtype=np.float32), measured=True)
    found = with_prior(influence, prior, np.ones(3), np.ones(3))
    assert found[0, 1] == pytest.approx((1 - prior.weight) * influence[0, 1] + prior.weight * 2)
    np.testing.assert_array_equal(np.delete(found.ravel(), 1), np.delete(influence.ravel(), 1))
