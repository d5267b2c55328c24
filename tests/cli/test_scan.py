from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import dko as package
from dko.io._files import read_any


@pytest.mark.parametrize("ending", [".h5ad", ".zarr", ".h5mu"])
def test_same_as_in_python(dko, store, fitted, tmp_path, ending):
    source, out = store(fitted, f"in{ending}"), tmp_path / f"out{ending}"
    ran = dko("scan", source, "--out", out, "--quiet")
    assert ran.code == 0 and ran.err == ""
    after = read_any(out)["rna"] if ending == ".h5mu" else read_any(out)
    package.tl.scan(fitted)
    np.testing.assert_array_equal(after.layers["dko_impact"].toarray(), fitted.layers["dko_impact"].toarray())
    listed = [line.split()[0] for line in ran.out.splitlines()[2:]]
    assert listed == package.get.ranking(fitted)["gene"].head(10).tolist()


def test_three_genes_of_each_group_of_the_fit(dko, grouped_file, grouped, tmp_path):
    ran = dko("scan", grouped_file, "--out", tmp_path / "out.h5ad", "--quiet")
    package.tl.scan(grouped)
    top = package.get.ranking(grouped).groupby("group", observed=True).head(3)
    assert [line.split("0.")[0].split()[-1] for line in ran.out.splitlines()[2:]] == top["gene"].tolist()


def test_choice_and_table(dko, fitted_file, fitted, tmp_path):
    table = tmp_path / "impacts.csv.gz"
    words = ("--genes", "gene_3,gene_4", "--groups", "cell_type=B", "--table", table, "--quiet")
    assert dko("scan", fitted_file, "--out", tmp_path / "out.h5ad", *words).code == 0
    package.tl.scan(fitted, genes=["gene_3", "gene_4"], groups={"cell_type": "B"})
    expected = package.get.impact_table(fitted)
    written = pd.read_csv(table, dtype=str)
    assert list(written) == ["gene_id", "cell_id", "impact"] and len(written) == len(expected) > 0
    assert written["gene_id"].tolist() == expected["gene_id"].tolist()
    assert written["cell_id"].tolist() == expected["cell_id"].tolist()
    np.testing.assert_allclose(written["impact"].astype(float), expected["impact"], rtol=1e-6)


def test_table_is_not_replaced_unasked(dko, fitted_file, tmp_path, kept):
    table = tmp_path / "impacts.csv"
    table.write_text("old")
    words = ("scan", fitted_file, "--out", tmp_path / "out.h5ad", "--table", table, "--quiet")
    with kept:
        assert dko(*words).error == f"'{table}' exists; add --force to replace it."
    assert dko(*words, "--force").code == 0
    assert table.read_text().startswith("gene_id,cell_id,impact\n")


def test_table_and_cells_need_two_files(dko, fitted_file, tmp_path, kept):
    out = tmp_path / "out.h5ad"
    with kept:
        assert "have to be different" in dko("scan", fitted_file, "--out", out, "--table", out, "--quiet").error


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--genes", "gen_3"), "No gene 'gen_3' in var_names. Did you mean 'gene_3'"),
        (("--table", "nowhere/impacts.csv"), "The folder 'nowhere' does not exist; make it first."),
        (("--groups", "B"), "'B' names no column"),
    ],
)
def test_bad_input_is_refused(dko, fitted_file, tmp_path, kept, words, says):
    with kept:
        assert says in dko("scan", fitted_file, "--out", tmp_path / "out.h5ad", "--quiet", *words).error


def test_impacts_in_a_file_of_their_own(tmp_path, fitted, capsys):
    import anndata as ad

    from dko.cli import main

    fitted.write_h5ad(tmp_path / "fitted.h5ad")
    main(
        [
            "scan",
            str(tmp_path / "fitted.h5ad"),
            "--out",
            str(tmp_path / "out.h5ad"),
            "--impacts",
            str(tmp_path / "i.h5ad"),
        ]
    )
    impacts, cells = ad.read_h5ad(tmp_path / "i.h5ad"), ad.read_h5ad(tmp_path / "out.h5ad")
    assert impacts.X.nnz == fitted.X.nnz and "dko_impact" not in cells.layers and "dko_impact_mean" in cells.var
    assert capsys.readouterr().out == ""
