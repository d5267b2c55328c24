from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import nbinom

from dko import datasets
from dko.models.dko.regression import _regulated, _sampled, weight_of_zeros


@pytest.fixture
def zeros(relative):
    """Weights of zeros, the part of it that sampling explains, and how far presence is regulated, of counts."""

    def of(counts):
        profiles, totals = relative(counts)
        seen = (np.asarray(counts) > 0).sum(0)
        of_all = profiles, seen, float(np.median(totals))
        return weight_of_zeros(*of_all), _sampled(*of_all), _regulated(profiles, seen)

    return of


@pytest.fixture
def counts(independent_counts):
    rng = np.random.default_rng(0)
    return independent_counts(60, 15, rng, depth=40, depth_spread=0.4) + (np.arange(15) == 3)


def test_as_many_are_due_to_sampling_as_a_negative_binomial_explains(relative, zeros, counts):
    weight, found, regulated = zeros(counts)
    profiles, totals = relative(counts)
    sampled = profiles.toarray().astype(float) * np.median(totals)
    for gene, values in enumerate(sampled.T):
        n_zeros, expected = (values == 0).sum(), 1.0
        for _ in range(10):
            among = np.where(values > 0, 1, expected)
            mean = np.average(values, weights=among)
            beyond = max(np.average(values**2, weights=among) - mean**2 - mean, 1e-3 * mean)
            by_chance = nbinom.pmf(0, mean**2 / beyond, mean / (mean + beyond)) * among.sum()
            expected = min(1, (by_chance + 1) / (n_zeros + 1))
        assert found[gene] == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(weight, found + (1 - found) * regulated)


def test_few_zeros_say_little_and_genes_that_no_cell_has_nothing(zeros):
    counts = np.random.default_rng(0).poisson(50, (200, 5))
    counts[:1, 1], counts[:19, 2], counts[:, 4] = 0, 0, 0
    # By chance none of these zeros would be there; one more is taken for granted.
    np.testing.assert_allclose(zeros(counts)[1], [1, 1 / 2, 1 / 20, 1, 0], rtol=1e-6)


def test_presence_in_cells_of_types_is_regulated_and_all_zeros_count(zeros):
    cells = datasets.grn_types(300, 60, n_types=3, depth=2_000, rng=0)
    weight, _, regulated = zeros(cells.X.toarray())
    assert regulated > 0.5
    assert weight.min() > 0.5
    # Each gene by itself permuted among the cells, it is not.
    assert zeros(np.random.default_rng(0).permuted(cells.X.toarray(), axis=0))[2] < 0.1


@pytest.mark.parametrize("n_varying", [0, 2])
def test_with_fewer_than_three_genes_that_some_cells_lack_nothing_is_regulated(zeros, n_varying):
    counts = np.full((20, 6), 3)
    counts[::2, :n_varying] = 0
    assert zeros(counts)[2] == 0
