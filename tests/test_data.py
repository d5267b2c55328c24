from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

import dko
from dko._core.cells import Source, profiles
from dko._core.scale import read_expression


def test_a_block_at_a_time(cells, dense):
    """A row of 20 genes counts 8 bytes per value here: 800 bytes are 5 rows."""
    taken = []

    class Spy:
        shape = cells.shape

        def __getitem__(self, rows):
            taken.append(rows.stop - rows.start)
            return cells.X[rows].toarray()

    from dko._core.cells import _row_blocks

    with dko.settings.override(memory_budget=800):
        blocks = [block for _, block in _row_blocks(Spy())]
    assert taken == [5] * 16
    np.testing.assert_array_equal(dense(sparse.vstack(blocks)), dense(cells.X))


def test_columns_by_name(cells, dense):
    found = Source(cells).read(["gene_7", "HSPA1A/B"])
    np.testing.assert_array_equal(dense(found), dense(cells[:, ["gene_7", "HSPA1A/B"]].X))
    assert found.has_sorted_indices and found.dtype == np.float32


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_matrix, np.asarray, da.from_array])
def test_what_is_read_is_a_copy(kind, cells, dense):
    cells.X = kind(cells.X.toarray())
    before = dense(cells.X if kind is not da.from_array else cells.X.compute())
    Source(cells).read().data[:] = -1
    np.testing.assert_array_equal(dense(cells.X if kind is not da.from_array else cells.X.compute()), before)


def test_duplicate_entries_of_a_sparse_matrix_are_summed():
    x = sparse.coo_matrix((np.ones(3, dtype=np.float32), ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    x = sparse.csr_matrix((x.data, x.col, [0, 2, 3]), shape=(2, 2))
    assert Source(AnnData(x)).read().toarray().tolist() == [[0, 2], [1, 0]]


@pytest.mark.parametrize(
    ("largest", "mark", "log1p", "taken"),
    [
        (4.0, False, None, False),
        (4.0, True, None, False),  # integers are counts, whatever the mark says
        (4.5, False, None, False),
        (4.5, True, None, True),
        (31.5, True, None, False),  # no logarithm is as large
        (4.5, False, True, True),
        (4.5, True, False, False),
    ],
)
def test_logarithms_or_not(largest, mark, log1p, taken):
    adata = AnnData(np.array([[largest, 1.0], [0.0, 2.0]], dtype=np.float32))
    if mark:
        adata.uns["log1p"] = {"base": None}
    found = read_expression(Source(adata), log1p)
    assert (found.scale.base is not None) is taken
    expected = np.expm1(adata.X) if taken else adata.X
    np.testing.assert_allclose(found.values.toarray(), expected, rtol=1e-6)


def test_profiles_sum_to_one_and_empty_rows_stay_empty():
    values = sparse.csr_matrix(np.array([[1, 3], [0, 0], [0, 1e-30]], dtype=np.float32))
    assert profiles(values).toarray().tolist() == [[0.25, 0.75], [0, 0], [0, 1]]
    assert values.toarray()[0].tolist() == [1, 3]
