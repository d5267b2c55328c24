"""What perturbed cells show."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse, stats

import dko
from dko.metrics import ceiling, changed_genes, effect, effect_size, log_profiles, pair_interaction

RNG = np.random.default_rng(0)
CONTROL, PERTURBED = RNG.poisson(2.0, (30, 8)).astype(float), RNG.poisson(1.5, (20, 8)).astype(float)
MEAN = RNG.gamma(2, 2, 50)


def cells(n, effect=0.0):
    return sparse.csr_array(RNG.poisson(MEAN * np.exp(effect), (n, 50)))


def lost(n):
    """A gene with half of all counts is lost, and nothing else changes."""
    return [RNG.poisson(np.r_[one, MEAN], (n, 51)) for one in (0, MEAN.sum())]


@pytest.mark.parametrize("without", [[], [3], [0, 3]])
def test_change_of_the_mean_without_the_gene(without):
    def values(counts):
        left = np.delete(counts, without, axis=1)
        return np.log1p(1e4 * left / left.sum(axis=1, keepdims=True))

    found = effect(sparse.csr_matrix(PERTURBED), CONTROL, without=without)
    assert found.dtype == np.float64 and np.isnan(found[without]).all()
    np.testing.assert_allclose(np.delete(found, without), values(PERTURBED).mean(axis=0) - values(CONTROL).mean(axis=0))


def test_a_gene_that_only_leaves_room_has_no_effect():
    counts = np.full((10, 4), 5.0)
    gone = counts.copy()
    gone[:, 2] = 0
    assert np.abs(effect(gone, counts)).min() > 0.2
    np.testing.assert_allclose(effect(gone, counts, without=[2]), [0, 0, np.nan, 0], atol=1e-12)
    perturbed, control = lost(60)
    assert ceiling(perturbed, control) > 0.5 and ceiling(perturbed, control, without=[0]) < 0.3
    perturbed, control = lost(400)
    assert effect_size(perturbed, control) == pytest.approx(0.5, abs=0.02)
    assert effect_size(perturbed, control, without=[0]) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("metric", [effect, effect_size, changed_genes, ceiling])
def test_counts_or_their_log_values(metric):
    logged = [log_profiles(one, without=[3]) for one in (PERTURBED, CONTROL)]
    np.testing.assert_array_equal(metric(*logged, without=[3], logged=True), metric(PERTURBED, CONTROL, without=[3]))


@pytest.mark.parametrize("n", [10, 40])
def test_no_effect_has_no_size_however_few_cells_show_it(n):
    found = [effect_size(cells(n), cells(100), n_splits=5) for _ in range(60)]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(60)


def test_size_tends_to_the_distance_of_the_means():
    change = RNG.normal(size=50)
    before, after = MEAN / MEAN.sum(), MEAN * np.exp(change)
    expected = dko.metrics.bray_curtis([before], [after / after.sum()])[0]
    assert effect_size(cells(2_000, change), cells(4_000)) == pytest.approx(expected, abs=0.01)


def test_finds_what_has_changed_and_not_the_lost_gene():
    rng = np.random.default_rng(1)
    before, after = rng.poisson(3.0, (200, 40)), rng.poisson(3.0, (150, 40))
    after[:, :10] += rng.poisson(3.0, (150, 10))
    after[:, 39] = 0
    found = changed_genes(after, before, without=[39])
    assert found.dtype == bool and found[:10].all() and not found[39]
    assert not changed_genes(np.eye(4)[:2], np.eye(4)[2:], without=range(4)).any()
    same = np.ones((5, 2))
    assert not changed_genes(same, same, logged=True).any(), "a gene that is the same in all cells has no p-value"


@pytest.mark.parametrize("sizes", [(60, 30), (30, 60), (100, 100)])
def test_permuted_cells_give_no_more_than_the_stated_rate(sizes):
    """Where nothing differs, every discovery is false: the rate is how often there is any."""
    rng = np.random.default_rng(2)
    found = []
    for _ in range(100):
        mean = 10 ** rng.uniform(-2, 1, 150)
        permuted = sparse.csr_array(rng.poisson(mean * rng.lognormal(0, 0.5, (sum(sizes), 1))))
        found.append(changed_genes(permuted[: sizes[0]], permuted[sizes[0] :]).any())
    assert stats.binomtest(int(np.sum(found)), len(found), 0.05, alternative="greater").pvalue > 0.01


@given(seed=st.integers(0, 1000))
def test_interaction_equals_least_squares_pair_by_pair(seed):
    both, first, second = np.random.default_rng(seed).normal(size=(3, 2, 3, 30))
    size, coefficients = pair_interaction(both, first=first, second=second)
    assert size.shape == (2, 3) and coefficients.shape == (2, 3, 2)
    for i, j in np.ndindex(2, 3):
        expected = np.linalg.lstsq(np.column_stack([first[i, j], second[i, j]]), both[i, j])[0]
        np.testing.assert_allclose(coefficients[i, j], expected)
        residual = np.linalg.norm(both[i, j] - first[i, j] - second[i, j])
        assert size[i, j] == pytest.approx(residual / np.sqrt((first[i, j] ** 2 + second[i, j] ** 2).sum()))


def test_known_kinds_of_pairs():
    first, second = np.random.default_rng(0).normal(size=(2, 100))
    size, coefficients = pair_interaction(first + second, first=first, second=second)
    assert size == pytest.approx(0)
    np.testing.assert_allclose(coefficients, [1, 1])
    np.testing.assert_allclose(pair_interaction(first, first=first, second=second)[1], [1, 0], atol=1e-12)
    size, coefficients = pair_interaction(3 * first, first=first, second=first)
    np.testing.assert_allclose(coefficients, [1.5, 1.5])
    assert size == pytest.approx(1 / np.sqrt(2))
    size, coefficients = pair_interaction(np.zeros((2, 3)), first=[[0.0] * 3, [1.0] * 3], second=np.zeros((2, 3)))
    assert np.isnan(size[0]) and np.isnan(coefficients[0]).all()
    assert size[1] == 1 and coefficients[1].tolist() == [0, 0]
