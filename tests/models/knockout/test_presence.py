from __future__ import annotations

import numpy as np
from scipy import sparse

from dko.models.knockout import presence_of


def test_ones_where_there_are_entries_and_the_values_stay():
    values = sparse.csr_matrix(np.array([[0, 2.5, 0], [7, 0, 1]], dtype=np.float32))
    presence = presence_of(values)
    assert presence.dtype == np.float32
    np.testing.assert_array_equal(presence.toarray(), [[0, 1, 0], [1, 0, 1]])
    assert values.data.tolist() == [2.5, 7, 1]
