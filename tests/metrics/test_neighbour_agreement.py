from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import kstest

from dko.metrics import neighbour_agreement


def test_known_neighbours():
    angles = np.deg2rad([0, 5, 90, 96, 180, 187])
    vectors = np.column_stack([np.cos(angles), np.sin(angles)]) * [[1], [9], [2], [1], [3], [1]]
    found = neighbour_agreement(vectors, ["a", "a", "b", "b", "c", "a"])
    assert found.share == pytest.approx(4 / 6)
    # The chance that two of the six are of one group: three, two and one.
    assert found.expected == pytest.approx((3 * 2 + 2 * 1) / 30, abs=0.03)
    perfect = neighbour_agreement(vectors, ["a", "a", "b", "b", "c", "c"])
    # 3! of 6! / 2!^3 orders.
    assert perfect.share == 1 and perfect.p_value == pytest.approx(6 / 90, abs=0.03)


def test_equally_near_ones_count_in_part():
    vectors = np.array([[1.0, 0.0], [2.0, 0.0], [5.0, 0.0]])
    assert neighbour_agreement(vectors, ["a", "a", "b"]).share == pytest.approx(1 / 3)


def test_chance():
    rng = np.random.default_rng(0)
    p = [
        neighbour_agreement(rng.normal(size=(30, 5)), rng.integers(3, size=30), n_permutations=199, rng=i).p_value
        for i in range(60)
    ]
    # Shares are of few values, so p values are larger than uniform ones rather than smaller.
    assert kstest(p, "uniform", alternative="greater").pvalue > 0.01
    assert np.mean(p) > 0.4


def test_the_order_and_the_seed():
    rng = np.random.default_rng(1)
    vectors, groups = rng.normal(size=(20, 4)), rng.integers(3, size=20)
    found = neighbour_agreement(vectors, groups, rng=3)
    assert neighbour_agreement(vectors, groups, rng=3) == found
    order = rng.permutation(20)
    again = neighbour_agreement(vectors[order], groups[order], rng=3)
    assert again.share == pytest.approx(found.share)
    assert_allclose(again, found, atol=0.05)


def test_nothing_to_say():
    assert np.isnan(neighbour_agreement(np.ones((2, 3)), ["a", "b"])).all()
    assert np.isnan(neighbour_agreement(np.eye(4), ["a"] * 4)).all()


def test_refusals():
    with pytest.raises(ValueError, match=r"groups needs one entry per vector \(4\), got 3"):
        neighbour_agreement(np.eye(4), ["a", "b", "c"])
    with pytest.raises(ValueError, match="n_permutations=0 must be at least 1"):
        neighbour_agreement(np.eye(3), ["a", "b", "b"], n_permutations=0)
