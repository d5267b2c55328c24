from __future__ import annotations

import numpy as np
from scipy import sparse

from dko._core.fitted import aligned_layer, gene_columns, read_fitted


def test_genes_are_found_wherever_they_are(fitted):
    model = read_fitted(fitted, "dko")
    assert gene_columns(fitted, model).tolist() == list(range(20))
    assert gene_columns(fitted[:, ::-1], model).tolist() == list(range(20))[::-1]


def test_values_go_to_their_columns():
    presence = sparse.csr_matrix(np.array([[1, 1, 1], [0, 0, 0], [0, 1, 1]], dtype=np.float32))
    values = np.array([0.1, np.nan, 0.3, 0.5, 0.0], dtype=np.float32)
    layer = aligned_layer(values, presence, np.array([4, 0, 2]), 5)
    assert layer.shape == (3, 5) and layer.nnz == 4
    np.testing.assert_allclose(layer.toarray(), np.array([[0, 0, 0.3, 0, 0.1], [0, 0, 0, 0, 0], [0.5, 0, 0, 0, 0]]))
    assert layer.indices.tolist() == [2, 4, 0, 2]
