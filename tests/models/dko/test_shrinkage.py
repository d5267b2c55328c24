"""Posterior means under a prior that is fitted to all estimates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from dko.models.dko.shrinkage import shrinkage


def shrink(z):
    """Posterior means under the prior that is fitted to them."""
    found = np.atleast_2d(z.copy())
    shrinkage(found)(found, np.ones(found.shape[1], dtype=np.float32))
    return found.reshape(z.shape)


def posterior_mean(z, share, spread):
    """By numerical integration, where a `share` of the effects is normal with that spread and the others are 0."""
    effect = np.linspace(-60, 60, 6_001)
    prior = share * norm.pdf(effect, scale=spread) * (effect[1] - effect[0])
    joint = prior * norm.pdf(z[:, None] - effect)
    return (joint @ effect) / (joint.sum(1) + (1 - share) * norm.pdf(z))


@pytest.mark.parametrize(("share", "spread"), [(0.2, 4.0), (0.05, 8.0), (1.0, 2.0)])
def test_nearly_the_posterior_mean_under_the_true_prior(share, spread):
    rng = np.random.default_rng(0)
    effects = np.where(rng.random((150, 80)) < share, rng.normal(scale=spread, size=(150, 80)), 0)
    z = effects + rng.normal(size=effects.shape)
    found = shrink(z.astype(np.float32))
    at = rng.choice(z.size, 150, replace=False)
    expected = posterior_mean(z.ravel()[at], share, spread)
    assert found.dtype == np.float32 and found.shape == z.shape
    assert np.abs(found.ravel()[at] - expected).mean() < 0.1
    # Nobody who knows the prior does better by more than a little.
    best = np.square(posterior_mean(z.ravel()[at], share, spread) - effects.ravel()[at]).mean()
    assert np.square(found.ravel()[at] - effects.ravel()[at]).mean() < 1.05 * best + 0.005


@settings(max_examples=15)
@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=60))
def test_odd_ascending_and_nearer_to_nothing(values):
    z = np.sort(np.array([*values, *(-value for value in values)], dtype=np.float32))
    found = shrink(z)
    np.testing.assert_allclose(found, -found[::-1], rtol=1e-6, atol=1e-6)
    assert (np.diff(found) >= -1e-6 * np.maximum(1, np.abs(found[1:]))).all()
    assert (np.abs(found) <= np.abs(z) + 1e-6).all()
    assert (found * np.sign(z) >= -1e-6).all()


def test_zeros_do_not_count_among_effects():
    z = np.random.default_rng(0).normal(scale=3, size=500).astype(np.float32)
    padded = shrink(np.append(z, np.zeros(2_000, dtype=np.float32)))
    np.testing.assert_allclose(padded[:500], shrink(z), rtol=1e-6)
    assert not padded[500:].any()
    assert shrink(np.zeros((3, 3), dtype=np.float32)).tolist() == np.zeros((3, 3)).tolist()


def test_columns_are_scaled():
    z = np.random.default_rng(0).normal(scale=3, size=(70, 5)).astype(np.float32)
    scale = np.arange(5, dtype=np.float32)
    np.testing.assert_allclose(shrinkage(z)(z.copy(), scale), shrink(z) * scale, rtol=1e-6)
