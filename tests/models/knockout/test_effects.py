"""Effects of genes and of pairs summed over cells, and what pairs do by chance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import dko
from dko.models.knockout import FactorMap, effect_sums, pair_effects
from dko.models.knockout.sets import permuted

from .oracle import make_cells, make_map, naive_change, naive_knock_out

# The last pair is knocked out in no cell.
PAIRS = np.array([[0, 1], [3, 7], [20, 2]])


@pytest.mark.parametrize("kind", ["affine", "low rank", "factors"])
@pytest.mark.parametrize("budget", [1, 1_000, 2**28])
def test_effects_equal_the_naive_formula(kind, budget):
    rng = np.random.default_rng(0)
    any_map, cells = make_cells(kind, 40, 25, 0.5, rng, 0.5)
    group, wanted = np.arange(40) % 4 - 1, rng.permutation(25)[:17]
    with dko.settings.override(memory_budget=budget):
        totals, n_cells = effect_sums(any_map, cells, wanted, group, 3)
    assert totals.dtype == np.float64
    expected, n_expected, rows = np.zeros_like(totals), np.zeros_like(n_cells), cells.toarray()
    for cell, number in zip(*np.nonzero(rows[:, wanted] * (group >= 0)[:, None]), strict=True):
        gene = [wanted[number]]
        expected[group[cell], number] += naive_change(any_map, rows[cell], gene, gene)
        n_expected[group[cell], number] += 1
    np.testing.assert_array_equal(n_cells, n_expected)
    np.testing.assert_allclose(totals, expected, rtol=1e-4, atol=1e-4)


def with_both(values):
    """Cells that have both genes of each pair."""
    there = values.toarray() > 0
    return [*(np.flatnonzero(there[:, pair].all(axis=1)) for pair in PAIRS[:2]), np.empty(0, dtype=int)]


@pytest.mark.parametrize("kind", ["affine", "low rank", "factors"])
def test_effects_and_impacts_of_pairs_equal_the_naive_formula(kind):
    any_map, cells = make_cells(kind, 40, 25, 0.6, np.random.default_rng(0), 0.5)
    rows = with_both(cells)
    few = [some[::2] for some in rows]
    effects, impacts = pair_effects(any_map, cells, PAIRS, rows, few, np.empty((0, 25), dtype=int))
    assert effects.shape == (3, 3, 25) and impacts.shape == (3, 1, 3) and len(rows[0]) > 5 < len(rows[1])
    assert not effects[2].any() and not impacts[2].any()
    for number, pair in enumerate(PAIRS[:2]):
        for which, genes in enumerate(([*pair], [pair[0]], [pair[1]])):
            changes = [naive_change(any_map, row, genes, [*pair]) for row in cells[rows[number]].toarray()]
            np.testing.assert_allclose(effects[number, which], sum(changes), rtol=2e-4, atol=2e-3)
            downstream = [naive_knock_out(any_map, row, genes)[2] for row in cells[few[number]].toarray()]
            assert impacts[number, 0, which] == pytest.approx(sum(downstream), rel=2e-5)


def test_a_cell_of_the_two_genes_alone():
    affine, row = make_map(4, np.random.default_rng(0)), [np.array([0])]
    presence = sparse.csr_matrix(np.array([[0, 1, 1, 0]], dtype=np.float32))
    assert not pair_effects(affine, presence, np.array([[1, 2]]), row, row, np.empty((0, 4), dtype=int))[0].any()


def test_permutations_take_turns_and_are_knockouts_by_another_column():
    """With a map of factors, a moved column does to cells as they are what it says."""
    rng = np.random.default_rng(0)
    factors, profiles = make_cells("factors", 60, 30, 0.5, rng, 0.5)
    rows = with_both(profiles)
    moves = np.stack([np.random.default_rng(seed).permutation(30) for seed in range(2)])
    _, found = pair_effects(factors, profiles, PAIRS, rows, rows, moves)
    for number, pair in enumerate(PAIRS[:2]):
        for turn, which in ((0, None), (1, 1), (2, 0)):
            influence = factors.influence.copy()
            if which is not None:
                own = pair[which]
                influence[:, own] = permuted(influence[:, own].astype(float), np.zeros(30), moves[turn - 1], own)
            other = FactorMap(influence, factors.correlation, factors.step)
            for knockout, genes in enumerate(([*pair], [pair[0]], [pair[1]])):
                impacts = [naive_knock_out(other, row, genes)[2] for row in profiles[rows[number]].toarray()]
                np.testing.assert_allclose(found[number, turn, knockout], sum(impacts), rtol=1e-5)
        # What is not moved does what it does.
        assert found[number, 1, 1] == found[number, 0, 1] != found[number, 2, 1]
        assert found[number, 2, 2] == found[number, 0, 2] != found[number, 1, 2]


def test_a_moved_column_is_a_permutation_that_keeps_the_own_number():
    column = np.arange(10.0)
    for own in range(10):
        found = permuted(column, np.zeros(10), np.random.default_rng(own).permutation(10), own)
        assert found[own] == own and sorted(found) == list(range(10))
