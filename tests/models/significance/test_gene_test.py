from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import kstest

from dko.models.significance import gene_p_values, levels
from dko.models.significance._gene_test import _combined, _moments, _permutations_of, _ranked


def test_of_permuted_genes_p_values_are_uniform(permuted, all_of):
    rng = np.random.default_rng(0)
    sets = [permuted(rng) for _ in range(15)]
    found = [gene_p_values(levels(counts, all_of(counts)), rng, 40) for counts in sets]
    pooled = np.concatenate(found)
    assert pooled.dtype == np.float64 and len(pooled) > 1_200
    thinned = np.concatenate([rng.choice(one, 10, replace=False) for one in found])
    assert kstest(thinned, "uniform").pvalue > 0.01
    for rate in (0.01, 0.05, 0.5):
        assert abs((pooled < rate).mean() - rate) < 3 * np.sqrt(rate * (1 - rate) / len(pooled))
    # Rare genes and common ones alike.
    rare = np.concatenate([levels(counts, all_of(counts)).seen < 40 for counts in sets])
    assert (pooled[rare] < 0.05).mean() == pytest.approx(0.05, abs=0.02)


def test_one_strong_and_many_weak_associations_are_found(permuted):
    rng = np.random.default_rng(3)
    dense = permuted(rng, n_cells=400).toarray()
    strong, many = dense.shape[1] - 1, np.arange(20, 50)
    dense[:, strong] = rng.poisson(1 + dense[:, 5])
    dense[:, many] += rng.poisson(0.8 * rng.gamma(1, 1, (400, 1)), (400, len(many)))
    counts = sparse.csr_matrix(dense.astype(np.float32))
    p_values = gene_p_values(levels(counts, np.ones(dense.shape[1], dtype=bool)), rng)
    assert p_values[strong] < 1e-4 and p_values[5] < 1e-4
    assert (p_values[many] < 0.01).mean() > 0.8


def test_the_same_rng_gives_the_same(permuted, all_of):
    counts = permuted(np.random.default_rng(0), n_genes=30)
    cells = levels(counts, all_of(counts))
    first = gene_p_values(cells, np.random.default_rng(1), 20)
    np.testing.assert_array_equal(first, gene_p_values(cells, np.random.default_rng(1), 20))


def test_without_another_gene_nothing_is_found(permuted, all_of):
    counts = permuted(np.random.default_rng(0), n_genes=30)
    one = np.arange(counts.shape[1]) == 3
    assert gene_p_values(levels(counts, one), np.random.default_rng(0)).tolist() == [1.0]


@pytest.mark.parametrize(("n_genes", "expected"), [(2_000, 25), (100_000, 20), (500, 100), (3, 1_000)])
def test_as_many_permutations_as_the_null_needs(n_genes, expected):
    assert _permutations_of(n_genes) == expected


def test_moments_are_those_of_neighbours_in_kurtosis():
    draws = np.random.default_rng(0).gamma(3, size=(50, 40))
    kurtosis = np.random.default_rng(1).permutation(40).astype(float)
    mean, sd, skewness = _moments(draws, kurtosis, 2)
    order = np.argsort(kurtosis)
    for place in (0, 1, 20, 39):
        first = min(max(place - 2, 0), 35)
        near = order[first : first + 5]
        assert mean[order[place]] == pytest.approx(draws[:, near].mean())
    assert sd.shape == skewness.shape == (40,) and (skewness > 0).all()


def test_beyond_the_null_p_values_go_on_falling():
    null = np.sort(np.random.default_rng(0).random(50_000))
    found = _ranked(np.array([0.5, 0.05, 1e-3, 1e-5, 1e-9]), null)
    np.testing.assert_allclose(found[:3], [0.5, 0.05, 1e-3], rtol=0.35)
    np.testing.assert_allclose(np.log10(found[3:]), [-5, -9], rtol=0.1)


def test_the_smaller_of_two_p_values_is_no_smaller_than_chance_has_it():
    rng = np.random.default_rng(0)
    observed, null = rng.gamma(5, size=(2, 4_000)), rng.gamma(5, size=(2, 20, 4_000))
    assert kstest(_combined(observed, null, rng.random(4_000)), "uniform").pvalue > 0.01
