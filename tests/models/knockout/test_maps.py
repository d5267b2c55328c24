"""Maps, and what is known of cells before a knockout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse

import dko
from dko.models.dko import reference as naive
from dko.models.knockout import AffineMap, FactorMap, LowRankMap, find, map_of, predict, presence_of

RNG = np.random.default_rng(0)
OUTGOING, INCOMING = RNG.normal(size=(7, 2)).astype(np.float32), RNG.normal(size=(2, 7)).astype(np.float32)
INTERCEPT = RNG.normal(size=7).astype(np.float32)
LOW = LowRankMap(OUTGOING, INCOMING, INTERCEPT)
WHOLE = AffineMap(OUTGOING @ INCOMING, INTERCEPT)
PRESENCE = sparse.csr_matrix(np.array([[0, 1, 1, 0, 1], [0, 0, 0, 0, 0], [1, 0, 1, 0, 0]], dtype=np.float32))
SETS = np.array([[2, 4], [0, -1], [3, -1]])


def test_column_g_is_what_gene_g_adds():
    affine = AffineMap(np.array([[1, 2], [3, 4]], dtype=np.float32), np.zeros(2, dtype=np.float32))
    assert affine.columns(np.array([1])).tolist() == [[2, 4]]


@pytest.mark.parametrize("genes", [[3], [6, 0, 2]])
def test_low_rank_is_the_product(genes):
    genes = np.array(genes, dtype=int)
    for low, whole in [(LOW, WHOLE), (LOW.subset(genes), WHOLE.subset(genes))]:
        assert low.n_genes == whole.n_genes
        assert low.rank == 2
        np.testing.assert_array_equal(low.intercept, whole.intercept)
        presence = sparse.csr_matrix(np.tri(low.n_genes, dtype=np.float32))
        np.testing.assert_allclose(low.sums(presence), whole.sums(presence), atol=1e-6)
    found, expected = LOW.columns(genes), WHOLE.columns(genes)
    assert found.dtype == expected.dtype == np.float32 and found.shape == (len(genes), 7)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("affine", [LOW, WHOLE], ids=["low rank", "whole"])
def test_from_its_arrays(affine):
    again = map_of(affine.arrays)
    assert type(again) is type(affine)
    for name, array in affine.arrays.items():
        assert again.arrays[name] is array


def test_arrays_of_another_byte_order():
    foreign = {name: array.astype(">f4") for name, array in WHOLE.arrays.items()}
    again: Any = map_of(foreign)
    assert again.intercept.dtype.isnative
    np.testing.assert_array_equal(again.influence, WHOLE.influence)


def together(factors, genes):
    """By how much the logs of all shares fall without some genes."""
    return factors.weights(genes[None])[0] @ factors.columns(genes)


def test_a_gene_alone_has_its_own_effect(make_factors):
    factors = make_factors(8, RNG)
    np.testing.assert_allclose(together(factors, np.array([3])), factors.influence[:, 3])
    np.testing.assert_array_equal(factors.columns(np.array([3, 5])), factors.influence[:, [3, 5]].T)


def test_effects_of_uncorrelated_genes_add_up():
    influence = RNG.normal(size=(5, 5)).astype(np.float32)
    for factors in (FactorMap(influence), FactorMap(influence, np.eye(5, dtype=np.float16), np.arange(1, 6))):
        np.testing.assert_allclose(together(factors, np.array([1, 3])), influence[:, [1, 3]].sum(1), rtol=1e-6)


def test_genes_that_are_the_same_count_once():
    influence = RNG.normal(size=(5, 1)).astype(np.float32) * np.ones(5, dtype=np.float32)
    factors = FactorMap(influence, np.ones((5, 5), dtype=np.float16), np.full(5, 2.0))
    for n in (2, 5):
        found = together(factors, np.arange(n)) / influence[:, 0]
        assert ((found >= 1) & (found < 1.1)).all()


def test_effects_of_a_set_are_those_of_a_regression_on_all_of_it():
    """Standardised levels x of genes, and a response y: a ridge regression on three genes at once."""
    levels = RNG.normal(size=(10_000, 3)) @ RNG.normal(size=(3, 3))
    levels /= levels.std(axis=0)
    response = levels @ [0.3, -0.2, 0.5] + RNG.normal(size=10_000)
    response -= response.mean()
    levels -= levels.mean(axis=0)
    gram, step = levels.T @ levels / 10_000, np.array([0.5, 1.0, 2.0])
    both = np.linalg.solve((gram + 0.1 * np.eye(3)) / 1.1, levels.T @ response / 10_000)
    influence = np.zeros((4, 4), dtype=np.float32)
    influence[3, :3] = step * (levels.T @ response) / 10_000
    correlation = np.eye(4)
    correlation[:3, :3] = gram
    factors = FactorMap(influence, correlation, np.append(step, 1.0))
    np.testing.assert_allclose(together(factors, np.arange(3))[3], step @ both, rtol=1e-5)


def test_genes_that_pad_a_set_do_not_count(make_factors):
    factors = make_factors(9, RNG)
    sets = np.array([[2, 7, -1], [4, -1, -1], [-1, -1, -1]])
    found = factors.weights(sets)
    np.testing.assert_allclose(found[0, :2], factors.weights(sets[:1, :2])[0])
    assert found[0, 2] == 0 and found[1].tolist() == [1, 0, 0] and not found[2].any()


def test_among_some_of_the_genes(make_factors):
    factors = make_factors(9, RNG)
    among = factors.subset([6, 2, 3])
    assert among.n_genes == 3
    np.testing.assert_allclose(together(among, np.array([0, 2])), together(factors, np.array([6, 3]))[[6, 2, 3]])
    assert FactorMap(factors.influence).subset([1]).correlation is None


@pytest.mark.parametrize("budget", [1, 2**28])
def test_equals_the_naive_formula(make_map, make_presence, layers_from, budget):
    rng = np.random.default_rng(0)
    affine, presence = make_map(50, rng), make_presence(20, 50, 0.4, rng)
    with dko.settings.override(memory_budget=budget):
        values = predict(affine, presence)
    assert values.dtype == np.float32
    layers = layers_from(affine)
    expected = [naive.profile(layers, row)[row > 0] for row in presence.toarray()]
    np.testing.assert_allclose(values, np.concatenate(expected), atol=1e-6)


def test_with_factors_it_is_what_was_observed(make_factors, make_profiles):
    rng = np.random.default_rng(0)
    factors, profiles = make_factors(30, rng), make_profiles(10, 30, 0.5, rng)
    np.testing.assert_array_equal(predict(factors, profiles), profiles.data)


def test_no_output_at_all(make_presence):
    affine = AffineMap(np.zeros((6, 6), dtype=np.float32), np.zeros(6, dtype=np.float32))
    assert not predict(affine, make_presence(5, 6, 0.5, np.random.default_rng(0))).any()


def test_ones_where_there_are_entries_and_the_values_stay():
    values = sparse.csr_matrix(np.array([[0, 2.5, 0], [7, 0, 1]], dtype=np.float32))
    presence = presence_of(values)
    assert presence.dtype == np.float32
    np.testing.assert_array_equal(presence.toarray(), [[0, 1, 0], [1, 0, 1]])
    assert values.data.tolist() == [2.5, 7, 1]


@pytest.mark.parametrize("budget", [1, 2**28])
def test_any(budget):
    with dko.settings.override(memory_budget=budget):
        row, number, removed = find(PRESENCE, SETS)
    assert row.tolist() == [0, 2, 2]
    assert number.tolist() == [0, 0, 1]
    assert removed.tolist() == [[1, 2], [1, -1], [0, -1]]


@pytest.mark.parametrize("budget", [1, 2**28])
def test_whole(budget):
    with dko.settings.override(memory_budget=budget):
        row, number, removed = find(PRESENCE, SETS, whole=True)
    assert row.tolist() == [0, 2]
    assert number.tolist() == [0, 1]
    assert removed.tolist() == [[1, 2], [0, -1]]


def test_nothing_found():
    for presence in (PRESENCE, PRESENCE[:0]):
        row, number, removed = find(presence, np.array([[3, -1]]))
        assert row.shape == number.shape == (0,)
        assert removed.shape == (0, 2)


def test_against_a_loop(make_presence):
    rng = np.random.default_rng(0)
    presence, sets = make_presence(30, 12, 0.4, rng), np.array([rng.permutation(12)[:3] for _ in range(20)])
    sets[::3, 2] = -1
    found = list(zip(*(array.tolist() for array in find(presence, sets)), strict=True))
    expected = []
    for cell, row in enumerate(presence.toarray()):
        position = dict.fromkeys(range(-1, 12), -1) | {gene: at for at, gene in enumerate(np.flatnonzero(row))}
        for number, genes in enumerate(sets.tolist()):
            removed = [position[gene] for gene in genes]
            if max(removed) >= 0:
                expected.append((cell, number, removed))
    assert found == expected
