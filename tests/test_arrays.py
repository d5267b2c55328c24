from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from dko._compat import dense


@pytest.mark.parametrize("kind", [list, np.asarray, sparse.csr_matrix, sparse.csc_array])
def test_dense(kind):
    found = dense(kind([[1, 0], [0, 2]]))
    assert found.dtype == np.float64
    assert found.tolist() == [[1, 0], [0, 2]]
