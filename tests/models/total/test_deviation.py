from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import gamma, poisson

from dko.models.total import residual
from dko.models.total._deviation import deviation


def sampled(variation, rng, n_cells=300, n_genes=60, depth=5_000):
    """Counts of levels that vary around profiles, and these profiles at the entries."""
    profiles = rng.lognormal(size=(n_cells, n_genes)) * (rng.random((n_cells, n_genes)) < 0.7)
    profiles /= profiles.sum(1, keepdims=True)
    levels = rng.gamma(1 / variation, variation, profiles.shape) if variation else 1.0
    counts = rng.poisson(depth * profiles * levels)
    return sparse.csr_matrix(counts.astype(np.float32)), profiles[counts > 0].astype(np.float32)


@pytest.mark.parametrize("variation", [0.05, 0.3, 1.0])
def test_recovers_how_much_levels_vary(variation):
    counts, profiles = sampled(variation, np.random.default_rng(0))
    assert deviation(counts, profiles) == pytest.approx(variation, rel=0.1)


def test_counting_noise_alone_is_no_variation():
    counts, profiles = sampled(0, np.random.default_rng(0))
    assert deviation(counts, profiles) < 5e-3


@pytest.mark.parametrize("variation", [0.1, 0.5, 2.0])
def test_the_residual_is_the_posterior_mean_of_the_level(variation):
    counts, profiles = sampled(variation, np.random.default_rng(0), 2, 6, depth=30)
    found = residual(counts, profiles, variation)
    assert found.dtype == np.float32
    levels = np.linspace(1e-4, 60, 200_000)
    prior = gamma.pdf(levels, 1 / variation, scale=variation)
    expected = profiles * np.repeat(counts.toarray().sum(1), np.diff(counts.indptr))
    for entry, count in enumerate(counts.data):
        weight = prior * poisson.pmf(int(count), expected[entry] * levels)
        assert found[entry] == pytest.approx((weight @ levels) / weight.sum(), rel=1e-3)


def test_many_counts_are_believed_and_few_are_not():
    counts = sparse.csr_matrix(np.array([[9_000, 1_000], [9, 1]], dtype=np.float32))
    found = residual(counts, np.full(4, 0.5, dtype=np.float32), 0.1)
    np.testing.assert_allclose(found[:2], [1.8, 0.2], atol=0.01)
    np.testing.assert_allclose(found[2:], [19 / 15, 11 / 15], rtol=1e-6)
