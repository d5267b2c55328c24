"""Energy distance and MMD: against loops, unbiased, and larger for what is further apart."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import dko

MMD = partial(dko.metrics.mmd, bandwidth=2.0)
RNG = np.random.default_rng(0)


def test_energy_distance_equals_a_loop():
    a, b = RNG.normal(size=(7, 3)), RNG.normal(size=(5, 3)) + 1
    between = np.mean([np.linalg.norm(x - y) for x in a for y in b])
    within = [np.mean([np.linalg.norm(x - y) for x in c for y in c if x is not y]) for c in (list(a), list(b))]
    assert dko.metrics.energy_distance(a, b) == pytest.approx(2 * between - sum(within))


def test_mmd_equals_a_loop():
    def kernel(x, y):
        return np.exp(-((x - y) ** 2).sum() / (2 * 2.0**2))

    a, b = RNG.normal(size=(7, 3)), RNG.normal(size=(5, 3)) + 1
    between = np.mean([kernel(x, y) for x in a for y in b])
    within = [np.mean([kernel(x, y) for x in c for y in c if x is not y]) for c in (list(a), list(b))]
    assert MMD(a, b) == pytest.approx(sum(within) - 2 * between)


@pytest.mark.parametrize("distance", [MMD, dko.metrics.energy_distance])
def test_averages_zero_for_two_samples_of_one_distribution(distance):
    found = np.array([distance(*RNG.normal(size=(2, 20, 3))) for _ in range(400)])
    assert abs(found.mean()) < 3 * found.std() / 20 and (found < 0).any()


@pytest.mark.parametrize("distance", [MMD, dko.metrics.energy_distance])
def test_grows_with_what_lies_between(distance):
    a, b = RNG.normal(size=(2, 60, 3))
    found = [distance(a, b + shift) for shift in (0, 0.5, 1, 2)]
    assert found == sorted(found) and found[-1] > 10 * abs(found[0])


@pytest.mark.parametrize("distance", [MMD, dko.metrics.energy_distance])
@pytest.mark.parametrize("b", [np.zeros((1, 3)), np.zeros((4, 2))])
def test_says_what_cannot_be_compared(distance, b):
    with pytest.raises(ValueError, match="Both sets need 2 cells or more, of the same components"):
        distance(np.zeros((4, 3)), b)


def test_bandwidth_is_above_zero():
    with pytest.raises(ValueError, match=r"bandwidth=0\.0 must be above 0"):
        dko.metrics.mmd(np.eye(3), np.eye(3), bandwidth=0.0)
