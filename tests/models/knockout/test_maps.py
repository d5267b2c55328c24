"""Maps, and what is known of cells before a knockout."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import dko
from dko.models.knockout import AffineMap, FactorMap, find, map_of, predict

from ... import paper as naive
from .oracle import layers_from, make_factors, make_map, make_presence

RNG = np.random.default_rng(0)
OUTGOING, INCOMING = RNG.normal(size=(7, 2)).astype(np.float32), RNG.normal(size=(2, 7)).astype(np.float32)
INTERCEPT = RNG.normal(size=7).astype(np.float32)
LOW = AffineMap(INCOMING, INTERCEPT, OUTGOING)
WHOLE = AffineMap(OUTGOING @ INCOMING, INTERCEPT)


@pytest.mark.parametrize("genes", [[3], [6, 0, 2]])
def test_low_rank_is_the_product(genes):
    genes = np.array(genes, dtype=int)
    for low, whole in [(LOW, WHOLE), (LOW.subset(genes), WHOLE.subset(genes))]:
        assert low.n_genes == whole.n_genes
        assert low.influence.shape[0] == 2
        np.testing.assert_array_equal(low.intercept, whole.intercept)
        presence = sparse.csr_matrix(np.tri(low.n_genes, dtype=np.float32))
        np.testing.assert_allclose(low.sums(presence), whole.sums(presence), atol=1e-6)
    found, expected = LOW.columns(genes), WHOLE.columns(genes)
    assert found.dtype == expected.dtype == np.float32 and found.shape == (len(genes), 7)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("affine", [LOW, WHOLE], ids=["low rank", "whole"])
def test_from_its_arrays_also_of_another_byte_order(affine):
    again = map_of({name: array.astype(">f4") for name, array in affine.arrays.items()})
    assert again.arrays.keys() == affine.arrays.keys()
    for name, array in affine.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)
        assert again.arrays[name].dtype.isnative


def together(factors, genes):
    """By how much the logs of all shares fall without some genes."""
    return factors.weights(genes[None])[0] @ factors.columns(genes)


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


def test_genes_that_pad_a_set_do_not_count():
    factors = make_factors(9, RNG)
    sets = np.array([[2, 7, -1], [4, -1, -1], [-1, -1, -1]])
    found = factors.weights(sets)
    np.testing.assert_allclose(found[0, :2], factors.weights(sets[:1, :2])[0])
    assert found[0, 2] == 0 and found[1].tolist() == [1, 0, 0] and not found[2].any()


@pytest.mark.parametrize("budget", [1, 2**28])
def test_equals_the_naive_formula(budget):
    rng = np.random.default_rng(0)
    affine, presence = make_map(50, rng), make_presence(20, 50, 0.4, rng)
    with dko.settings.override(memory_budget=budget):
        values = predict(affine, presence)
    assert values.dtype == np.float32
    layers = layers_from(affine)
    expected = [naive.profile(layers, row)[row > 0] for row in presence.toarray()]
    np.testing.assert_allclose(values.data, np.concatenate(expected), atol=1e-6)


@pytest.mark.parametrize("whole", [False, True])
def test_found_sets_are_those_of_a_loop(whole):
    rng = np.random.default_rng(0)
    presence, sets = make_presence(30, 12, 0.4, rng), np.array([rng.permutation(12)[:3] for _ in range(20)])
    sets[::3, 2] = -1
    found = list(zip(*(array.tolist() for array in find(presence, sets, whole=whole)), strict=True))
    expected = []
    for cell, row in enumerate(presence.toarray()):
        position = dict.fromkeys(range(-1, 12), -1) | {gene: at for at, gene in enumerate(np.flatnonzero(row))}
        for number, genes in enumerate(sets.tolist()):
            removed = [position[gene] for gene in genes]
            lacks = any(position[gene] < 0 for gene in genes if gene >= 0)
            if max(removed) >= 0 and not (whole and lacks):
                expected.append((cell, number, removed))
    assert found == expected
    assert all(len(array) == 0 for array in find(presence[:0], sets))
