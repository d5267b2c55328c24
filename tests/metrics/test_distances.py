"""Against scipy and loops, unbiased, and larger for what is further apart."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from scipy import sparse
from scipy.spatial.distance import braycurtis

import dko

MMD = partial(dko.metrics.mmd, bandwidth=2.0)
RNG = np.random.default_rng(0)
ROWS = RNG.random((2, 7, 9)) * (RNG.random((2, 7, 9)) < 0.5)


@pytest.mark.parametrize("first", [np.asarray, sparse.csr_matrix, sparse.csc_array, np.ndarray.tolist])
@pytest.mark.parametrize("second", [np.asarray, sparse.csr_array])
def test_bray_curtis_equals_scipy(first, second):
    expected = [braycurtis(a, b) for a, b in zip(*ROWS, strict=True)]
    np.testing.assert_allclose(dko.metrics.bray_curtis(first(ROWS[0]), second(ROWS[1])), expected)


def test_limits_of_bray_curtis():
    found = dko.metrics.bray_curtis([[1, 0], [1, 1], [0, 0], [1, 2]], [[0, 1], [1, 1], [0, 0], [0, 0]])
    np.testing.assert_array_equal(found, [1, 0, np.nan, 1])
    a = np.full((1, 300), 200, dtype=np.uint8)
    for kind in (np.asarray, sparse.csr_matrix):
        assert dko.metrics.bray_curtis(kind(a), kind(a // 2))[0] == pytest.approx(1 / 3), "integers do not overflow"


@pytest.mark.parametrize(
    ("distance", "of_pair"),
    [
        (dko.metrics.energy_distance, lambda x, y: np.linalg.norm(x - y)),
        (MMD, lambda x, y: -np.exp(-((x - y) ** 2).sum() / (2 * 2.0**2))),
    ],
)
def test_equals_a_loop(distance, of_pair):
    a, b = RNG.normal(size=(7, 3)), RNG.normal(size=(5, 3)) + 1
    between = np.mean([of_pair(x, y) for x in a for y in b])
    within = [np.mean([of_pair(x, y) for x in c for y in c if x is not y]) for c in (list(a), list(b))]
    assert distance(a, b) == pytest.approx(2 * between - sum(within))


@pytest.mark.parametrize("distance", [MMD, dko.metrics.energy_distance])
def test_averages_zero_for_two_samples_of_one_distribution_and_grows_with_what_lies_between(distance):
    found = np.array([distance(*RNG.normal(size=(2, 20, 3))) for _ in range(400)])
    assert abs(found.mean()) < 3 * found.std() / 20 and (found < 0).any()
    a, b = RNG.normal(size=(2, 60, 3))
    apart = [distance(a, b + shift) for shift in (0, 1, 2, 4)]
    assert apart == sorted(apart) and apart[-1] > 10 * abs(apart[0])
