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


@pytest.fixture
def naive_effect_sums(layers_from):
    def sums(affine, presence, wanted, group, n_groups):
        layers = layers_from(affine)
        totals = np.zeros((n_groups, len(wanted), affine.n_genes))
        n_cells = np.zeros((n_groups, len(wanted)), dtype=int)
        for cell, row in enumerate(presence.toarray()):
            for number, gene in enumerate(wanted):
                if group[cell] < 0 or not row[gene]:
                    continue
                before = naive.profile(layers, row)
                after = naive.profile(layers, naive.knocked_out(row, [gene]))
                before[gene] = 0
                before, after = (p / p.sum() if p.any() else p for p in (before, after))
                totals[group[cell], number] += np.log1p(1e4 * after) - np.log1p(1e4 * before)
                n_cells[group[cell], number] += 1
        return totals, n_cells

    return sums


@pytest.mark.parametrize("budget", [1, 1_000, 2**28])
def test_effects_equal_the_naive_formula(machine, make_map, make_presence, naive_effect_sums, budget):
    rng = np.random.default_rng(0)
    affine, presence = make_map(25, rng), make_presence(40, 25, 0.5, rng)
    group, wanted = np.arange(40) % 4 - 1, rng.permutation(25)[:17]
    with dko.settings.override(memory_budget=budget):
        totals, n_cells = machine.effect_sums(affine, presence, wanted, group, 3)
    expected, n_expected = naive_effect_sums(affine, presence, wanted, group, 3)
    assert totals.dtype == np.float64
    np.testing.assert_array_equal(n_cells, n_expected)
    np.testing.assert_allclose(totals, expected, rtol=1e-4, atol=1e-4)


def without(profile, genes):
    left = profile.copy()
    left[genes] = 0
    return left / left.sum() if left.any() else left


def naive_effects(layers, presence, pair, rows):
    totals = np.zeros((3, presence.shape[1]))
    for row in presence[rows].toarray():
        before = without(naive.profile(layers, row), pair)
        for number, removed in enumerate(([*pair], [pair[0]], [pair[1]])):
            after = without(naive.profile(layers, naive.knocked_out(row, removed)), pair)
            totals[number] += np.log1p(1e4 * after) - np.log1p(1e4 * before)
    return totals


def test_effects_of_pairs_equal_the_naive_formula(make_map, make_presence, layers_from):
    rng = np.random.default_rng(0)
    affine, presence = make_map(25, rng), make_presence(40, 25, 0.6, rng)
    there = presence.toarray() > 0
    rows = [np.flatnonzero(there[:, pair].all(axis=1)) for pair in TRIPLE]
    rows[2] = rows[2][:0]
    found = pair_effects(affine, presence, TRIPLE, rows)
    assert found.shape == (3, 3, 25) and (found[2] == 0).all()
    for number in range(2):
        assert len(rows[number]) > 5
        expected = naive_effects(layers_from(affine), presence, TRIPLE[number], rows[number])
        np.testing.assert_allclose(found[number], expected, rtol=2e-4, atol=2e-3)


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
