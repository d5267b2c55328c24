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
    found = dko.metrics.gene_mean(kind(TRAIN), kind(CELLS))
    assert isinstance(found, sparse.csr_array) and found.dtype == np.float64
    np.testing.assert_allclose(found.toarray(), expected)
    np.testing.assert_array_equal(found.indices, CELLS.nonzero()[1])
    np.testing.assert_array_equal(found.indptr, sparse.csr_array(CELLS).indptr)


def test_explicit_zeros_do_not_count_as_expression():
    train = sparse.csr_matrix((np.array([0.5, 0.0, 1.0]), ([0, 1, 1], [0, 0, 1])), shape=(2, 2))
    np.testing.assert_allclose(dko.metrics.gene_mean(train, [[1, 1]]).toarray(), [[1 / 3, 2 / 3]])
    np.testing.assert_allclose(dko.metrics.gene_mean([[1, 1]], train).toarray(), [[1, 0], [0, 1]])


@pytest.mark.parametrize("missing", [None, np.nan])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_means_of_the_own_group(kind, missing):
    rng = np.random.default_rng(0)
    train, cells = (rng.random((12, 5)) * (rng.random((12, 5)) < 0.6) for _ in range(2))
    of_training = np.array(["a", "b", missing] * 4, dtype=object)
    of_cells = np.array(["b", missing, "a", "unknown"] * 3, dtype=object)
    found = dko.metrics.gene_mean(kind(train), kind(cells), training_groups=of_training, groups=of_cells).toarray()
    for name in ("a", "b", missing):
        mine, theirs = (
            np.array([x is name or x == name for x in groups], dtype=bool) for groups in (of_cells, of_training)
        )
        np.testing.assert_allclose(found[mine], dko.metrics.gene_mean(train[theirs], cells[mine]).toarray())
    assert not found[of_cells == "unknown"].any()


def test_groups_of_both_sides_are_needed():
    with pytest.raises(ValueError, match="training_groups and groups go together"):
        dko.metrics.gene_mean(TRAIN, CELLS, groups=np.array(["a"] * 4))
