from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import dko

TRAIN = np.array([[0.5, 0.5, 0, 0], [0.2, 0, 0.8, 0]])
CELLS = np.array([[3, 1, 0, 0], [0, 0, 2, 9], [0, 0, 0, 1], [0, 0, 0, 0]])


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, sparse.csc_array])
def test_by_hand(kind):
    # Means over the cells that express a gene: 0.35, 0.5, 0.8; the last gene is unknown.
    expected = np.array([[0.35 / 0.85, 0.5 / 0.85, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(dko.metrics.gene_mean(kind(TRAIN), kind(CELLS)), expected)


def test_explicit_zeros_do_not_count_as_expression():
    train = sparse.csr_matrix((np.array([0.5, 0.0, 1.0]), ([0, 1, 1], [0, 0, 1])), shape=(2, 2))
    np.testing.assert_allclose(dko.metrics.gene_mean(train, [[1, 1]]), [[1 / 3, 2 / 3]])
