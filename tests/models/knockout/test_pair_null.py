from __future__ import annotations

import numpy as np
import pytest

from dko.models.assemblage import _reference as naive
from dko.models.knockout import AffineMap, FactorMap, LowRankMap, pair_null
from dko.models.knockout._pair_null import moved

PAIRS = np.array([[0, 1], [3, 7]])


@pytest.fixture
def cells(make_presence):
    """Cells, and for each pair those that have both genes."""
    presence = make_presence(60, 30, 0.5, np.random.default_rng(1))
    there = presence.toarray() > 0
    return presence, [np.flatnonzero(there[:, pair].all(axis=1)) for pair in PAIRS]


def test_without_permutations_they_are_the_downstream_impacts(cells, make_map, layers_from):
    presence, rows = cells
    affine = make_map(30, np.random.default_rng(0))
    found = pair_null(affine, presence, PAIRS, rows, np.empty((0, 30), dtype=int))
    assert found.shape == (2, 1, 3)
    layers = layers_from(affine)
    for number, pair in enumerate(PAIRS):
        assert len(rows[number]) > 5
        for which, removed in enumerate(([*pair], [pair[0]], [pair[1]])):
            expected = [naive.downstream(layers, presence[[r]].toarray()[0], removed) for r in rows[number]]
            assert found[number, 0, which] == pytest.approx(sum(expected), rel=2e-5)


def test_permutations_take_turns_and_are_knockouts_by_another_column(make_factors, make_profiles, naive_factors):
    """With a map of factors, a moved column does to cells as they are what it says."""
    rng = np.random.default_rng(0)
    factors, profiles = make_factors(30, rng, 0.5), make_profiles(60, 30, 0.5, rng)
    there = profiles.toarray() > 0
    rows = [np.flatnonzero(there[:, pair].all(axis=1)) for pair in PAIRS]
    moves = np.stack([np.random.default_rng(seed).permutation(30) for seed in range(2)])
    found = pair_null(factors, profiles, PAIRS, rows, moves)
    for number, pair in enumerate(PAIRS):
        for turn, which in ((0, None), (1, 1), (2, 0)):
            influence = factors.influence.copy()
            if which is not None:
                own = pair[which]
                influence[:, own] = moved(influence[:, own].astype(float), np.zeros(30), moves[turn - 1], own)
            other = FactorMap(influence, factors.correlation, factors.step)
            for knockout, genes in enumerate(([*pair], [pair[0]], [pair[1]])):
                impacts = [naive_factors(other, row, genes)[2] for row in profiles[rows[number]].toarray()]
                np.testing.assert_allclose(found[number, turn, knockout], sum(impacts), rtol=1e-5)
        # What is not moved does what it does.
        assert found[number, 1, 1] == found[number, 0, 1] != found[number, 2, 1]
        assert found[number, 2, 2] == found[number, 0, 2] != found[number, 1, 2]


def test_a_moved_column_is_a_permutation_that_keeps_the_own_number():
    column = np.arange(10.0)
    for own in range(10):
        found = moved(column, np.zeros(10), np.random.default_rng(own).permutation(10), own)
        assert found[own] == own and sorted(found) == list(range(10))


def test_what_all_genes_have_in_common_is_not_moved(cells):
    """Divided by the number of present genes, it makes up for itself."""
    presence, rows = cells
    rng = np.random.default_rng(0)
    influence = np.repeat(rng.normal(3, 1, size=(30, 1)), 30, axis=1).astype(np.float32)
    moves = np.stack([rng.permutation(30) for _ in range(4)])
    found = pair_null(AffineMap(influence, np.ones(30, dtype=np.float32)), presence, PAIRS, rows, moves)
    np.testing.assert_allclose(found, np.repeat(found[:, :1], 5, axis=1), rtol=1e-5)
    of_one = influence * (np.arange(30) == 3)  # only one gene does anything
    found = pair_null(AffineMap(of_one, np.ones(30, dtype=np.float32)), presence, PAIRS, rows, moves)
    assert (np.abs(found[1, 2::2, 1] / found[1, 0, 1] - 1) > 0.01).all()


def test_no_cells_have_no_impacts(cells, make_map):
    presence, rows = cells
    affine = make_map(30, np.random.default_rng(0))
    assert (pair_null(affine, presence, PAIRS, [rows[0][:0]] * 2, np.arange(30)[None]) == 0).all()


def test_a_map_in_two_factors_does_the_same(cells):
    presence, rows = cells
    rng = np.random.default_rng(0)
    outgoing, incoming = (rng.normal(size=shape).astype(np.float32) for shape in ((30, 4), (4, 30)))
    intercept, moves = np.ones(30, dtype=np.float32), np.stack([rng.permutation(30) for _ in range(4)])
    whole = pair_null(AffineMap(outgoing @ incoming, intercept), presence, PAIRS, rows, moves)
    found = pair_null(LowRankMap(outgoing, incoming, intercept), presence, PAIRS, rows, moves)
    np.testing.assert_allclose(found, whole, rtol=1e-4)
