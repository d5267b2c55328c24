from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse, stats

from dko.models.knockout import AffineMap, FactorMap, pair_null, predict
from dko.tl.interacting._null import against_null, draw_moves, relative_interaction

N = 300


def unrelated(kind, scale, seed):
    """p-values of pairs, each of two genes of its own, in a model whose columns are independent."""
    rng = np.random.default_rng(seed)
    influence = rng.normal(scale=scale, size=(N, N)).astype(np.float32)
    intercept = rng.normal(1, 0.3, N).astype(np.float32)
    affine = AffineMap(influence, intercept) if kind == "direct" else FactorMap(influence)
    levels = (rng.random((80, N)) < 0.6).astype(np.float32)
    if kind == "total":
        levels *= np.exp(intercept)
        levels /= levels.sum(axis=1, keepdims=True)
    presence = sparse.csr_matrix(levels)
    there = presence.toarray() > 0
    pairs = rng.permutation(N).reshape(-1, 2)
    rows = [np.flatnonzero(there[:, pair].all(axis=1))[:15] for pair in pairs]
    profiles = sparse.csr_matrix((predict(affine, presence), presence.indices, presence.indptr), presence.shape)
    moves = draw_moves(np.asarray(profiles.mean(axis=0)).ravel(), 50, rng)
    return against_null(relative_interaction(pair_null(affine, presence, pairs, rows, moves)))[2]


@pytest.mark.parametrize(("kind", "scale"), [("total", 0.1), ("direct", 2.0)])
def test_p_values_of_unrelated_genes_are_uniform(kind, scale):
    sets = [unrelated(kind, scale, seed) for seed in range(8)]
    assert stats.kstest(np.concatenate(sets), "uniform").pvalue > 0.01
    # By chance, a rate of 5 % is undershot in 5 % of the sets: in more than two of eight with a probability of 0.006.
    assert sum((stats.false_discovery_control(p_values) < 0.05).any() for p_values in sets) <= 2


def test_z_and_p_values_equal_the_naive_formula():
    relative = np.random.default_rng(0).standard_t(4, size=(7, 13))
    relative[2, 0] = 90.0
    expected, z, p_values = against_null(relative)

    def z_of(one, others):
        return (one - others.mean()) / (others.std(ddof=1) * np.sqrt(1 + 1 / len(others)))

    chance = np.array([z_of(row[i], np.delete(row[1:], i - 1)) for row in relative for i in range(1, 13)])
    for row, mean, found, p_value in zip(relative, expected, z, p_values, strict=True):
        assert mean == pytest.approx(row[1:].mean())
        assert found == pytest.approx(z_of(row[0], row[1:]))
        assert p_value == pytest.approx((1 + (np.abs(chance) >= abs(found)).sum()) / (1 + len(chance)))
    assert p_values[2] == 1 / 85


def test_pairs_that_no_permutation_changes_have_no_evidence():
    relative = np.vstack([np.full(12, -0.1), np.random.default_rng(0).normal(size=12)])
    _, z, p_values = against_null(relative)
    assert z[0] == 0 and p_values[0] == 1 and p_values[1] < 1


def test_nothing_relative_to_nothing_is_nothing():
    assert relative_interaction(np.array([[0.3, 0.2, 0.2], [0.0, 0.0, 0.0]])) == pytest.approx([-0.25, 0])


def test_moves_stay_among_genes_of_similar_expression():
    shares = np.random.default_rng(0).lognormal(size=230)
    moves = draw_moves(shares, 20, np.random.default_rng(1))
    assert (np.sort(moves, axis=1) == np.arange(230)).all()
    ranks = np.argsort(np.argsort(-shares))
    assert np.abs(ranks[moves] - ranks).max() == 9
    assert (moves[0] != moves[1]).any()
    assert (np.sort(draw_moves(shares[:4], 5, np.random.default_rng(1)), axis=1) == np.arange(4)).all()
