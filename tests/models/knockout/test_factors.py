from __future__ import annotations

import numpy as np

from dko.models.knockout import FactorMap

RNG = np.random.default_rng(0)


def test_a_gene_alone_has_its_own_effect(make_factors):
    factors = make_factors(8, RNG)
    np.testing.assert_allclose(factors.of_set(np.array([3])), factors.influence[:, 3])
    np.testing.assert_array_equal(factors.columns(np.array([3, 5])), factors.influence[:, [3, 5]].T)


def test_effects_of_uncorrelated_genes_add_up():
    influence = RNG.normal(size=(5, 5)).astype(np.float32)
    for factors in (FactorMap(influence), FactorMap(influence, np.eye(5, dtype=np.float16), np.arange(1, 6))):
        np.testing.assert_allclose(factors.of_set(np.array([1, 3])), influence[:, [1, 3]].sum(1), rtol=1e-6)


def test_genes_that_are_the_same_count_once():
    influence = RNG.normal(size=(5, 1)).astype(np.float32) * np.ones(5, dtype=np.float32)
    factors = FactorMap(influence, np.ones((5, 5), dtype=np.float16), np.full(5, 2.0))
    for n in (2, 5):
        found = factors.of_set(np.arange(n)) / influence[:, 0]
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
    np.testing.assert_allclose(factors.of_set(np.arange(3))[3], step @ both, rtol=1e-5)


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
    np.testing.assert_allclose(among.of_set(np.array([0, 2])), factors.of_set(np.array([6, 3]))[[6, 2, 3]])
    assert FactorMap(factors.influence).subset([1]).correlation is None
