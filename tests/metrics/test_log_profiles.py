from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import dko

COUNTS = np.random.default_rng(0).poisson(2.0, (9, 6)).astype(float)
COUNTS[3] = [0, 7, 0, 0, 0, 0]
COUNTS[4] = 0


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, sparse.csc_array])
@pytest.mark.parametrize("without", [(), [1], np.array([1, 4])])
def test_equals_a_loop(kind, without):
    given = kind(COUNTS.copy())
    found = dko.metrics.log_profiles(given, without=without)
    expected = np.zeros_like(COUNTS)
    for cell, counts in enumerate(COUNTS):
        left = [0 if gene in list(without) else count for gene, count in enumerate(counts)]
        if sum(left):
            expected[cell] = [np.log(1 + 1e4 * x / sum(left)) for x in left]
    assert found.format == "csr" and found.dtype == np.float64
    assert found.nnz == (expected > 0).sum()
    np.testing.assert_allclose(found.toarray(), expected)
    np.testing.assert_array_equal(given.toarray() if sparse.issparse(given) else given, COUNTS)
