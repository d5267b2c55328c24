from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import normalize

from dko.tl._modules import module_numbers, places, reduced


def bundles(n_each, n_kinds, rng, noise=0.15):
    """Vectors around some directions, of any length."""
    directions = normalize(rng.normal(size=(n_kinds, 10)))
    kinds = np.repeat(np.arange(n_kinds), n_each)
    vectors = directions[kinds] + noise * rng.normal(size=(len(kinds), 10))
    return vectors * rng.uniform(0.1, 10, (len(kinds), 1)), kinds


@pytest.mark.parametrize(("n_each", "n_kinds"), [(3, 3), (7, 2), (8, 2), (10, 4), (25, 4)])
def test_kinds_are_found_whatever_the_strength(n_each, n_kinds):
    vectors, kinds = bundles(n_each, n_kinds, np.random.default_rng(0))
    found = module_numbers(vectors, 1.0, 0)
    assert adjusted_rand_score(kinds, found) > 0.8
    assert_array_equal(module_numbers(vectors * 7.0, 1.0, 0), found)


def test_reduced_keeps_lengths_and_angles():
    effects = np.random.default_rng(0).normal(size=(8, 50))
    found = reduced(effects)
    assert found.shape == (8, 8)
    assert_allclose(found @ found.T, effects @ effects.T, atol=1e-10)
    assert_allclose(reduced(effects), found)
    assert reduced(np.random.default_rng(0).normal(size=(40, 50))).shape == (40, 30)


@pytest.mark.parametrize("n", [2, 3, 5, 6, 40])
def test_there_is_a_place_for_any_number(n):
    vectors, _ = bundles(n, 1, np.random.default_rng(0))
    found = places(vectors, 0)
    assert found.shape == (n, 2) and np.isfinite(found).all()
    assert_array_equal(places(vectors, 0), found)


@pytest.mark.parametrize("n_others", [0, 4, 9])
def test_what_points_nowhere_is_in_the_middle(n_others):
    others, _ = bundles(max(n_others, 1), 1, np.random.default_rng(0))
    others = others[:n_others]
    found = places(np.vstack([others, np.zeros((7, 10))]), 0)
    assert_array_equal(found[:n_others], places(others, 0) if n_others else np.empty((0, 2)))
    middle = found[:n_others].mean(axis=0) if n_others else np.zeros(2)
    assert_allclose(found[n_others:], np.tile(middle, (7, 1)))
