from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dko.metrics import pair_interaction


@given(seed=st.integers(0, 1000))
def test_equals_least_squares_pair_by_pair(seed):
    both, first, second = np.random.default_rng(seed).normal(size=(3, 4, 5, 30))
    size, coefficients = pair_interaction(both, first=first, second=second)
    assert size.shape == (4, 5) and coefficients.shape == (4, 5, 2)
    for i, j in np.ndindex(4, 5):
        expected = np.linalg.lstsq(np.column_stack([first[i, j], second[i, j]]), both[i, j])[0]
        np.testing.assert_allclose(coefficients[i, j], expected)
        left = np.linalg.norm(both[i, j] - first[i, j] - second[i, j])
        assert size[i, j] == pytest.approx(left / np.sqrt((first[i, j] ** 2 + second[i, j] ** 2).sum()))


def test_known_kinds_of_pairs():
    first, second = np.random.default_rng(0).normal(size=(2, 100))
    size, coefficients = pair_interaction(first + second, first=first, second=second)
    assert size == pytest.approx(0)
    np.testing.assert_allclose(coefficients, [1, 1])
    _, coefficients = pair_interaction(first, first=first, second=second)
    np.testing.assert_allclose(coefficients, [1, 0], atol=1e-12)


def test_effects_in_one_direction_share_what_the_pair_does():
    first = np.array([1.0, -2.0, 0.5])
    size, coefficients = pair_interaction(3 * first, first=first, second=first)
    np.testing.assert_allclose(coefficients, [1.5, 1.5])
    assert size == pytest.approx(1 / np.sqrt(2))


def test_perturbations_that_do_nothing_have_no_interaction():
    size, coefficients = pair_interaction(np.zeros((2, 3)), first=[[0.0] * 3, [1.0] * 3], second=np.zeros((2, 3)))
    assert np.isnan(size[0]) and np.isnan(coefficients[0]).all()
    assert size[1] == 1 and coefficients[1].tolist() == [0, 0]


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"one shape .* got \(3,\), \(3,\) and \(2,\)"):
        pair_interaction(np.ones(3), first=np.ones(3), second=np.ones(2))
