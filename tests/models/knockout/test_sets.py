from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import sparse

import dko
from dko.models.knockout import AffineMap, FactorMap, all_cells, effect_sums, find, pair_effects
from dko.models.knockout import knock_out as of_cells
from dko.models.knockout.sets import permuted

from .oracle import make_cells, make_map, make_presence, naive_change, naive_knock_out


def knock_out(affine, values, row, removed, **how):
    """Impacts and downstream impacts in the cells of a CSR matrix."""
    return of_cells(affine, all_cells(affine, values), row, removed, **how)


def check(any_map, cells, sets, found, *, dose=1.0, atol=1e-5):
    """Hold impacts, and profiles if there are any, against the formula; `found` are these, and what was removed."""
    impacts, after, row, number = found
    rows = cells.toarray()
    for place, (cell, which) in enumerate(zip(row, number, strict=True)):
        genes = [gene for gene in sets[which] if gene >= 0]
        profile, *expected = naive_knock_out(any_map, rows[cell], genes, dose)
        np.testing.assert_allclose(impacts[:, place], expected, atol=atol)
        if after is not None:
            entries = slice(*cells.indptr[cell : cell + 2])
            np.testing.assert_allclose(after[which, entries], profile[rows[cell] > 0], atol=atol)


@settings(max_examples=50)
@given(
    kind=st.sampled_from(["affine", "low rank", "factors"]),
    seed=st.integers(0, 2**16),
    n_genes=st.integers(1, 30),
    share=st.sampled_from([0.1, 0.5, 1.0]),
    scale=st.sampled_from([0.01, 1.0, 100.0]),
    dose=st.sampled_from([1.0, 0.99, 0.9, 0.5, 0.01]),
    size=st.integers(1, 4),
    budget=st.sampled_from([1, 300, 2**28]),
)
@example("affine", 0, 3, 1.0, 1.0, 1.0, 3, 1)  # nothing is left
@example("factors", 0, 3, 1.0, 1.0, 1.0, 3, 1)
@example("affine", 0, 2, 1.0, 1.0, 1.0, 1, 1)  # one gene is left
@example("affine", 3, 12, 0.1, 1.0, 1.0, 1, 1)  # the only gene goes
def test_sets_equal_the_naive_formula(kind, seed, n_genes, share, scale, dose, size, budget):
    rng = np.random.default_rng(seed)
    any_map, cells = make_cells(kind, 8, n_genes, share, rng, scale)
    size = min(size, n_genes)
    # Sets of up to `size` genes, shorter ones padded; genes that a cell lacks are among them.
    sets = np.array([[*rng.permutation(n_genes)[:k], *[-1] * (size - k)] for k in rng.integers(1, size + 1, 7)])
    after = np.full((len(sets), cells.nnz), -1, dtype=np.float32)
    with dko.settings.override(memory_budget=budget):
        row, number, removed = find(cells, sets)
        impacts = knock_out(any_map, cells, row, removed, dose=dose, after=after, number=number)
    assert impacts.dtype == np.float32 and not (impacts > 1).any(), "whatever the rounding"
    atol = 3e-6 if kind == "factors" else 1e-5
    check(any_map, cells, sets, (impacts, after, row, number), dose=dose, atol=atol)


def test_a_set_of_many_genes():
    rng, n = np.random.default_rng(0), 300
    affine, presence = make_map(n, rng), sparse.csr_matrix(np.ones((1, n), dtype=np.float32))
    sets = np.array([np.arange(n), [*rng.permutation(n)[:-1], -1], [*range(0, n, 2), *[-1] * (n // 2)]])
    impacts = knock_out(affine, presence, np.zeros(3, dtype=int), sets)
    assert impacts[0, 0] == pytest.approx(1)
    check(affine, presence, sets, (impacts, None, [0, 0, 0], range(3)))


@pytest.mark.parametrize("budget", [1, 2_000])
def test_the_memory_budget_changes_nothing(budget):
    rng = np.random.default_rng(0)
    affine, presence = make_map(30, rng), make_presence(40, 30, 0.6, rng)
    row, _, removed = find(presence, rng.integers(0, 15, (100, 1)) + [0, 15])
    assert len(row) > 2_048, "more than a thread takes at a time"
    expected = knock_out(affine, presence, row, removed)
    with dko.settings.override(memory_budget=budget):
        np.testing.assert_allclose(knock_out(affine, presence, row, removed), expected, atol=1e-6)


def test_a_cell_without_genes_and_nothing_to_divide_by():
    presence = sparse.csr_matrix(np.array([[0, 0], [0, 1]], dtype=np.float32))
    after, none = np.full((3, 1), np.nan, dtype=np.float32), np.array([[-1], [0], [-1]])
    affine, row = make_map(2, np.random.default_rng(0)), np.array([0, 1, 1])
    found = knock_out(affine, presence, row, none, after=after, number=np.array([0, 2, 1]))
    assert found[0].tolist() == [0.0, 1.0, 0.0]
    np.testing.assert_array_equal(after, [[np.nan], [1.0], [0.0]])
    # s - A_1 - A_2 - A_3 is not quite 0, and nothing is left to divide it by.
    influence = np.random.default_rng(0).normal(scale=1e3, size=(3, 3)).astype(np.float32)
    ones = sparse.csr_matrix(np.ones((1, 3), dtype=np.float32))
    affine = AffineMap(influence, 1 - influence.mean(1))
    assert knock_out(affine, ones, np.array([0]), np.array([[0, 1, 2]]))[0].tolist() == [1.0]


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
