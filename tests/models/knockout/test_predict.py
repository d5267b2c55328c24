from __future__ import annotations

import numpy as np
import pytest

import dko
from dko.models.assemblage import _reference as naive
from dko.models.knockout import AffineMap, predict


@pytest.mark.parametrize("budget", [1, 2**28])
@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize("link", ["abs", "softplus", "exp"])
@pytest.mark.parametrize("divisor", [0.0, 1.0, 7.5])
def test_equals_the_naive_formula(make_map, make_presence, layers_from, dense_weights, link, divisor, special, budget):
    rng = np.random.default_rng(0)
    affine, presence = make_map(50, rng, link, divisor=divisor), make_presence(20, 50, 0.4, rng)
    residual = rng.lognormal(size=presence.nnz).astype(np.float32) if special else None
    with dko.settings.override(memory_budget=budget):
        values = predict(affine, presence, residual=residual)
    assert values.dtype == np.float32
    rows, weights, layers = presence.toarray(), dense_weights(presence, residual), layers_from(affine)
    expected = [naive.profile(layers, *pair)[pair[0] > 0] for pair in zip(rows, weights, strict=True)]
    np.testing.assert_allclose(values, np.concatenate(expected), atol=1e-6)


def test_the_observed_profile_is_predicted_with_its_residual(make_map, make_presence):
    rng = np.random.default_rng(0)
    affine, presence = make_map(30, rng, "softplus"), make_presence(10, 30, 0.5, rng)
    observed = rng.random(presence.nnz).astype(np.float32)
    observed /= np.repeat(np.add.reduceat(np.append(observed, 0), presence.indptr[:-1]), np.diff(presence.indptr))
    residual = observed / predict(affine, presence)
    np.testing.assert_allclose(predict(affine, presence, residual=residual), observed, atol=1e-6)


def test_no_output_at_all(make_presence):
    affine = AffineMap(np.zeros((6, 6), dtype=np.float32), np.zeros(6, dtype=np.float32))
    assert not predict(affine, make_presence(5, 6, 0.5, np.random.default_rng(0))).any()
