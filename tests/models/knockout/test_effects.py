"""Effects of genes and of pairs summed over cells, and what pairs do by chance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import dko
from dko.models.dko import reference as naive
from dko.models.knockout import AffineMap, FactorMap, LowRankMap, pair_effects, pair_null
from dko.models.knockout.sets import permuted

PAIRS = np.array([[0, 1], [3, 7]])
TRIPLE = np.array([[0, 1], [3, 7], [20, 2]])


@pytest.mark.parametrize("kind", ["affine", "factors"])
@pytest.mark.parametrize("budget", [1, 1_000, 2**28])
def test_effects_equal_the_naive_formula(machine, make_cells, naive_change, kind, budget):
    rng = np.random.default_rng(0)
    any_map, cells = make_cells(kind, 40, 25, 0.5, rng, 0.5)
    group, wanted = np.arange(40) % 4 - 1, rng.permutation(25)[:17]
    with dko.settings.override(memory_budget=budget):
        totals, n_cells = machine.effect_sums(any_map, cells, wanted, group, 3)
    assert totals.dtype == np.float64
    expected, n_expected, rows = np.zeros_like(totals), np.zeros_like(n_cells), cells.toarray()
    for cell, number in zip(*np.nonzero(rows[:, wanted] * (group >= 0)[:, None]), strict=True):
        gene = [wanted[number]]
        expected[group[cell], number] += naive_change(any_map, rows[cell], gene, gene)
        n_expected[group[cell], number] += 1
    np.testing.assert_array_equal(n_cells, n_expected)
    np.testing.assert_allclose(totals, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["affine", "factors"])
def test_effects_of_pairs_equal_the_naive_formula(make_cells, naive_change, kind):
    any_map, cells = make_cells(kind, 40, 25, 0.6, np.random.default_rng(0), 0.5)
    there = cells.toarray() > 0
    rows = [np.flatnonzero(there[:, pair].all(axis=1)) for pair in TRIPLE]
    rows[2] = rows[2][:0]
    found = pair_effects(any_map, cells, TRIPLE, rows)
    assert found.shape == (3, 3, 25) and (found[2] == 0).all() and len(rows[0]) > 5 < len(rows[1])
    for number, pair in enumerate(TRIPLE[:2]):
        for which, genes in enumerate(([*pair], [pair[0]], [pair[1]])):
            changes = [naive_change(any_map, row, genes, [*pair]) for row in cells[rows[number]].toarray()]
            np.testing.assert_allclose(found[number, which], sum(changes), rtol=2e-4, atol=2e-3)


def test_a_cell_of_the_two_genes_alone(make_map):
    affine = make_map(4, np.random.default_rng(0))
    presence = sparse.csr_matrix(np.array([[0, 1, 1, 0]], dtype=np.float32))
    assert (pair_effects(affine, presence, np.array([[1, 2]]), [np.array([0])]) == 0).all()


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
                influence[:, own] = permuted(influence[:, own].astype(float), np.zeros(30), moves[turn - 1], own)
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
        found = permuted(column, np.zeros(10), np.random.default_rng(own).permutation(10), own)
        assert found[own] == own and sorted(found) == list(range(10))


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
