"""Seams between versions of other packages, where they are more than a name."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from anndata.experimental import read_lazy
from scipy import sparse

from dko._compat import lazy_rows

# anndata tells of a format to come.
pytestmark = pytest.mark.filterwarnings("ignore:Writing zarr v2:UserWarning")


@pytest.mark.parametrize("ending", ["h5ad", "zarr"])
def test_rows_of_a_lazy_file_are_read_whatever_its_chunks(cells, tmp_path, ending):
    path = tmp_path / f"cells.{ending}"
    getattr(cells, f"write_{ending}")(path)
    read = lazy_rows(read_lazy(path).X)
    assert read is not None
    for rows in (slice(0, 3), slice(5, 23), slice(0, len(cells))):
        for reader in (read, pickle.loads(pickle.dumps(read))):  # as it is sent to a worker
            found = reader[rows]
            assert sparse.issparse(found)
            np.testing.assert_array_equal(found.toarray(), cells.X[rows].toarray())


def test_what_is_made_of_a_lazy_file_is_left_to_dask(cells, tmp_path):
    import dask.array as da

    cells.write_h5ad(tmp_path / "cells.h5ad")
    matrix = read_lazy(tmp_path / "cells.h5ad").X
    for other in (matrix[::2], 2 * matrix, matrix.rechunk((7, -1)), da.from_array(np.eye(3)), np.eye(3), None):
        assert lazy_rows(other) is None
