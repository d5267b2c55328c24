from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.spatial.distance import braycurtis

import dko

ROWS = np.random.default_rng(0).random((2, 7, 9)) * (np.random.default_rng(1).random((2, 7, 9)) < 0.5)


@pytest.mark.parametrize("first", [np.asarray, sparse.csr_matrix, sparse.csc_array, np.ndarray.tolist])
@pytest.mark.parametrize("second", [np.asarray, sparse.csr_array])
def test_equals_scipy(first, second):
    expected = [braycurtis(a, b) for a, b in zip(*ROWS, strict=True)]
    np.testing.assert_allclose(dko.metrics.bray_curtis(first(ROWS[0]), second(ROWS[1])), expected)


def test_limits():
    found = dko.metrics.bray_curtis([[1, 0], [1, 1], [0, 0], [1, 2]], [[0, 1], [1, 1], [0, 0], [0, 0]])
    np.testing.assert_array_equal(found, [1, 0, np.nan, 1])


def test_integers_do_not_overflow():
    a = np.full((1, 300), 200, dtype=np.uint8)
    assert dko.metrics.bray_curtis(a, a[:, ::-1] // 2)[0] == pytest.approx(1 / 3)
    assert dko.metrics.bray_curtis(sparse.csr_matrix(a), sparse.csr_matrix(a // 2))[0] == pytest.approx(1 / 3)
    assert dko.metrics.bray_curtis(sparse.csr_matrix(a // 2), sparse.csr_matrix(a))[0] == pytest.approx(1 / 3)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"same shape, got \(2, 3\) and \(1, 3\)"):
        dko.metrics.bray_curtis(np.ones((2, 3)), np.ones((1, 3)))
