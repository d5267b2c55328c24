from __future__ import annotations

import numpy as np
import pytest

import dko
from dko.models.assemblage import _reference as naive
from dko.models.knockout import AffineMap, predict


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
