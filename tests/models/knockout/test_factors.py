"""Knockouts with a map of factors, compiled and in torch, against the formula as it stands."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import sparse

import dko
from dko.models.knockout import effect_sums, find, pair_effects, scan

LAVISH = 2**28


def dense(profiles):
    rows = profiles.toarray().astype(float)
    return rows / np.maximum(rows.sum(axis=1, keepdims=True), 1e-300)


@given(
    seed=st.integers(0, 2**16),
    n_cells=st.integers(1, 6),
    n_genes=st.integers(1, 40),
    share=st.sampled_from([0.1, 0.5, 1.0]),
    scale=st.sampled_from([0.0, 0.01, 1.0, 3.0, 100.0]),
    dose=st.sampled_from([1.0, 0.9, 0.3, 0.001]),
    wanted_share=st.sampled_from([0.0, 0.3, 1.0]),
    budget=st.sampled_from([1, 1_000, LAVISH]),
)
@example(0, 1, 1, 1.0, 1.0, 1.0, 1.0, 1)  # a gene that is all of a cell
@example(0, 1, 1, 1.0, 1.0, 0.3, 1.0, 1)
@example(0, 6, 40, 1.0, 100.0, 1.0, 1.0, LAVISH)  # factors from e^-30 to e^30
def test_scan_equals_the_naive_formula(
    machine,
    make_factors,
    make_profiles,
    naive_factors,
    seed,
    n_cells,
    n_genes,
    share,
    scale,
    dose,
    wanted_share,
    budget,
):
    rng = np.random.default_rng(seed)
    factors, profiles = make_factors(n_genes, rng, scale), make_profiles(n_cells, n_genes, share, rng)
    wanted = None if wanted_share == 1 else rng.random(n_genes) < wanted_share
    done: list[int] = []
    with dko.settings.override(memory_budget=budget):
        found = machine.scan(factors, profiles, wanted=wanted, dose=dose, downstream=True, advance=done.append)
    assert found.dtype == np.float32
    assert sum(done) in (profiles.nnz, np.count_nonzero(~np.isnan(found[0])))
    expected = [
        naive_factors(factors, row, [gene], dose)[1:] if wanted is None or wanted[gene] else (np.nan, np.nan)
        for row in dense(profiles)
        for gene in np.flatnonzero(row).tolist()
    ]
    np.testing.assert_allclose(found.T, np.reshape(expected, (-1, 2)), atol=1e-6)
    assert not (found > 1).any(), "whatever the rounding"
    with dko.settings.override(memory_budget=budget):
        np.testing.assert_array_equal(machine.scan(factors, profiles, wanted=wanted, dose=dose), found[0])


@given(
    seed=st.integers(0, 2**16),
    n_genes=st.integers(1, 30),
    share=st.sampled_from([0.1, 0.5, 1.0]),
    scale=st.sampled_from([0.01, 1.0, 100.0]),
    dose=st.sampled_from([1.0, 0.9, 0.01]),
    size=st.integers(1, 4),
    budget=st.sampled_from([1, 3_000, LAVISH]),
)
@example(0, 3, 1.0, 1.0, 1.0, 3, 1)  # nothing is left
def test_sets_equal_the_naive_formula(
    machine, make_factors, make_profiles, naive_factors, seed, n_genes, share, scale, dose, size, budget
):
    rng = np.random.default_rng(seed)
    factors, profiles = make_factors(n_genes, rng, scale), make_profiles(8, n_genes, share, rng)
    size = min(size, n_genes)
    sets = np.array([[*rng.permutation(n_genes)[:k], *[-1] * (size - k)] for k in rng.integers(1, size + 1, 7)])
    row, number, removed = find(profiles, sets)
    after = np.full((len(sets), profiles.nnz), -1, dtype=np.float32)
    with dko.settings.override(memory_budget=budget):
        found = machine.knock_out(
            factors, profiles, row, removed, dose=dose, downstream=True, after=after, number=number
        )
    assert not (found > 1).any(), "whatever the rounding"
    rows = dense(profiles)
    for place, (cell, which) in enumerate(zip(row, number, strict=True)):
        profile, *impacts = naive_factors(factors, rows[cell], sets[which][sets[which] >= 0].tolist(), dose)
        np.testing.assert_allclose(found[:, place], impacts, atol=3e-6)
        entries = slice(*profiles.indptr[cell : cell + 2])
        np.testing.assert_allclose(after[which, entries], profile[rows[cell] > 0], atol=3e-6)


@pytest.mark.parametrize("budget", [1, 1_000, LAVISH])
def test_effects_equal_the_naive_formula(machine, make_factors, make_profiles, naive_factors, budget):
    rng = np.random.default_rng(0)
    factors, profiles = make_factors(25, rng, 0.5), make_profiles(40, 25, 0.5, rng)
    group, wanted = np.arange(40) % 4 - 1, rng.permutation(25)[:17]
    with dko.settings.override(memory_budget=budget):
        totals, n_cells = machine.effect_sums(factors, profiles, wanted, group, 3)
    expected = np.zeros_like(totals)
    rows = dense(profiles)
    for cell, number in zip(*np.nonzero(rows[:, wanted] * (group >= 0)[:, None]), strict=True):
        change = change_of(factors, rows[cell], [wanted[number]], [wanted[number]], naive_factors)
        expected[group[cell], number] += change
    np.testing.assert_allclose(totals, expected, rtol=1e-4, atol=1e-4)
    assert n_cells.sum() == (rows[:, wanted] * (group >= 0)[:, None] > 0).sum()


def change_of(factors, profile, genes, without, naive_factors):
    """Change of log1p(1e4 profile), some genes taken out of both."""
    logs = []
    for one in (profile, naive_factors(factors, profile, genes)[0]):
        rest = one.copy()
        rest[without] = 0
        logs.append(np.log1p(1e4 * rest / max(rest.sum(), 1e-300)))
    return logs[1] - logs[0]


def test_effects_of_pairs_equal_the_naive_formula(make_factors, make_profiles, naive_factors):
    rng = np.random.default_rng(0)
    factors, profiles = make_factors(20, rng, 0.5), make_profiles(30, 20, 0.6, rng)
    pairs = np.array([[0, 1], [5, 9]])
    rows = [np.flatnonzero((profiles[:, pair].toarray() > 0).all(axis=1)) for pair in pairs]
    found = pair_effects(factors, profiles, pairs, rows)
    for number, pair in enumerate(pairs):
        for which, genes in enumerate(([*pair], [pair[0]], [pair[1]])):
            changes = [change_of(factors, row, genes, [*pair], naive_factors) for row in dense(profiles)[rows[number]]]
            np.testing.assert_allclose(found[number, which], sum(changes), rtol=1e-4, atol=1e-5)


def test_no_cells_and_no_knockouts(machine, make_factors):
    factors, none = make_factors(5, np.random.default_rng(0)), sparse.csr_matrix((4, 5), dtype=np.float32)
    assert machine.scan(factors, none, downstream=True).shape == (2, 0)
    sets = np.empty((0, 2), dtype=int)
    assert machine.knock_out(factors, none, sets[:, 0], sets).shape == (0,)
    assert not effect_sums(factors, none, np.arange(5), np.zeros(4, dtype=int), 1)[0].any()


def test_small_effects_keep_their_digits(make_factors, make_profiles, naive_factors):
    rng = np.random.default_rng(0)
    factors, profiles = make_factors(40, rng, 1e-6), make_profiles(10, 40, 0.8, rng)
    found = scan(factors, profiles, downstream=True)[1]
    rows = dense(profiles)
    expected = [naive_factors(factors, row, [g])[2] for row in rows for g in np.flatnonzero(row).tolist()]
    large = np.array(expected) > 1e-8
    np.testing.assert_allclose(found[large], np.array(expected)[large], rtol=1e-4)
