from __future__ import annotations

import gzip

import numpy as np
import pytest

import dko


@pytest.mark.parametrize("name", ["cells.csv", "cells.csv.gz"])
def test_genes_by_cells(name, tmp_path):
    text = "0,1.5,0\n2,0,3e2\n"
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    adata = dko.io.read_reference(tmp_path / name)
    assert adata.X.format == "csr" and adata.X.dtype == np.float32
    assert adata.X.toarray().tolist() == [[0, 2], [1.5, 0], [0, 300]]
    assert adata.obs_names.tolist() == ["0", "1", "2"] and adata.var_names.tolist() == ["0", "1"]


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"1,2\n1,2,3\n", b"", b"\xff\xfe\x00"])
def test_no_table_of_numbers(content, tmp_path):
    (tmp_path / "cells.csv").write_bytes(content)
    with pytest.raises(ValueError, match="'.*cells.csv' is not a comma-separated table of numbers without a header"):
        dko.io.read_reference(tmp_path / "cells.csv")


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file"):
        dko.io.read_reference(tmp_path / "cells.csv")
