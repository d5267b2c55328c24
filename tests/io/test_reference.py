from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
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


ALL = ["Impact_results.csv", "Impact_results_doubleKO.csv", "mapping_prediction.csv", "mapping_true.csv"]


@pytest.fixture
def adata(cells, quick, tmp_path):
    """Cells from a table of the reference, and back to its tables."""
    np.savetxt(tmp_path / "Ptrain.csv", cells.X.toarray().T, delimiter=",")
    adata = dko.io.read_reference(tmp_path / "Ptrain.csv")
    dko.tl.fit(adata, test_fraction=0.2, **quick)
    return adata


def test_all_tables(adata, tmp_path):
    dko.tl.scan(adata)
    dko.tl.double_ko(adata, n_samples=200)
    dko.io.write_reference(adata, tmp_path / "deep" / "out")
    folder = tmp_path / "deep" / "out"
    assert sorted(path.name for path in folder.iterdir()) == ALL

    single = pd.read_csv(folder / "Impact_results.csv")
    assert single.columns.tolist() == ["gene_id", "cell_id", "k_pred"]
    assert len(single) == adata.X.nnz
    np.testing.assert_allclose(
        single["k_pred"], adata.layers["dko_impact"].toarray()[single["cell_id"], single["gene_id"]], rtol=1e-6
    )

    double = pd.read_csv(folder / "Impact_results_doubleKO.csv")
    assert double.columns.tolist() == ["gene1_id", "gene2_id", "cell_id", "k_pred"]
    assert (double["gene1_id"] < double["gene2_id"]).all()
    expected = {
        (*sorted((int(row.gene_a), int(row.gene_b))), int(row.cell)): row.impact
        for row in dko.get.pairs(adata).itertuples()
    }
    assert len(expected) == 200
    for a, b, cell, impact in double.itertuples(index=False):
        assert expected[a, b, cell] == pytest.approx(impact, rel=1e-5)

    test = dko.get.profiles(adata, split="test")
    for name, matrix in (("mapping_true.csv", test.X), ("mapping_prediction.csv", test.layers["predicted"])):
        table = pd.read_csv(folder / name, header=None)
        assert table.shape == (16, 20)
        np.testing.assert_allclose(table, matrix.toarray(), rtol=1e-5)


def test_only_what_there_is(adata, tmp_path, capsys):
    dko.io.write_reference(adata, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ALL[2:]
    assert "Wrote mapping_true.csv, mapping_prediction.csv to" in capsys.readouterr().err


def test_column_j_is_gene_j_also_when_genes_are_left_out(cells, quick, tmp_path):
    dko.tl.fit(cells, genes=list(cells.var_names[5:15]), test_fraction=0.2, **quick)
    dko.io.write_reference(cells, tmp_path)
    true = pd.read_csv(tmp_path / "mapping_true.csv", header=None).to_numpy()
    assert true.shape[1] == cells.n_vars and not true[:, :5].any() and true[:, 5:15].any()
