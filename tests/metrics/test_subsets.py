from __future__ import annotations

import numpy as np
from scipy import sparse

from dko.metrics._subsets import means_of_parts


def test_parts_share_no_cell():
    found = means_of_parts(sparse.csr_array(np.eye(11)), 4, 2, 30, np.random.default_rng(0))
    assert found.shape == (2, 30, 11)
    np.testing.assert_allclose(found.sum(axis=-1), 1)
    assert set(np.unique(found)) == {0, 0.25}
    assert not ((found[0] > 0) & (found[1] > 0)).any()
    assert (found[0].sum(axis=0) > 0).all(), "every cell has its turn"
