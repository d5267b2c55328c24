"""The demo, the report and the workflow of the reference implementation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import dko as package
from dko.io._files import read_any

DEMO = {"impact.png", "ranking.png", "fit.png", "history.png", "demo.h5ad"}
TABLES = {"mapping_true.csv", "mapping_prediction.csv", "Impact_results.csv", "Impact_results_doubleKO.csv"}
QUICK = ("--max-steps", "10", "--quiet")


def test_demo_shows_everything_and_may_be_repeated(dko, cells, tmp_path, monkeypatch):
    monkeypatch.setattr("dko.datasets.pbmc68k", lambda: cells)
    folder = tmp_path / "shown"
    ran = dko("demo", "--out", folder, "--quiet")
    assert ran.code == 0 and ran.err == "", ran
    assert {path.name for path in folder.iterdir()} == DEMO
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in DEMO if "png" in name)
    parts = ("80 human blood cells", "16 test cells", "gene mean per cell_type", "Keystone genes", "Genes that change")
    assert all(part in ran.out for part in (*parts, *DEMO, "dko fit cells.h5ad"))
    adata = read_any(folder / "demo.h5ad")
    assert "dko_impact" in adata.layers and "dko_impact" in adata.obsm and (adata.obs["dko_split"] == "test").any()
    monkeypatch.delattr("dko.datasets.pbmc68k")
    assert "cannot be written" in dko("demo", "--out", folder / "demo.h5ad" / "where").error


def test_report_writes_a_page_beside_the_file(dko, store, fitted, kept):
    source = store(fitted, "cells 1.h5ad")
    page = source.with_suffix(".html")
    ran = dko("report", source, "--groupby", "cell_type")
    assert (ran.code, ran.out, ran.err) == (0, "", f"Wrote {page}.\n")
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>") and "<h1>Virtual knockouts: cells 1.h5ad</h1>" in text
    assert "gene mean per cell_type" in text
    with kept:
        assert dko("report", source).error == f"'{page}' exists; add --force to replace it."
    assert dko("report", source, "--force", "--quiet", "--title", "T-cells <3").err == ""
    assert "<h1>T-cells &lt;3</h1>" in page.read_text(encoding="utf-8")


@pytest.fixture
def table(cells, tmp_path):
    """Genes x cells without a header, 20 x 80; gene 19 is expressed nowhere."""
    values = cells.X.toarray().T
    values[19] = 0
    path = tmp_path / "Ptrain.csv"
    pd.DataFrame(values).to_csv(path, header=False, index=False)
    return path


def test_reproduce_writes_all_tables(dko, table, tmp_path):
    out = tmp_path / "results"
    ran = dko("reproduce", table, "--out", out, "--n-samples", "200", "--rng", "4", *QUICK)
    assert ran.code == 0 and ran.err == "", ran
    assert {path.name for path in out.iterdir()} == TABLES
    assert "16 test cells" in ran.out and "over all entries" in ran.out
    true, predicted = (pd.read_csv(out / f"mapping_{name}.csv", header=None) for name in ("true", "prediction"))
    assert len(true) == len(predicted) == 16
    np.testing.assert_array_equal(true > 0, predicted > 0)
    adata = package.io.read_reference(table)
    package.tl.fit(adata, preset="paper", max_steps=10, rng=4, progress=False)
    package.tl.scan(adata)
    package.tl.double_ko(adata, n_samples=200, rng=4)
    single, double = (pd.read_csv(out / name) for name in sorted(TABLES)[:2])
    np.testing.assert_allclose(single["k_pred"], package.get.impact_table(adata)["impact"], rtol=1e-6)
    np.testing.assert_allclose(double["k_pred"], package.get.pairs(adata)["impact"], rtol=1e-6)


def test_reproduce_some_genes_and_cells(dko, table, tmp_path):
    words = ("reproduce", table, "--out", tmp_path, *QUICK)
    assert dko(*words, "--genes", "5,0,7", "--cells", "2,1,3,4,5,6").code == 0
    single = pd.read_csv(tmp_path / "Impact_results.csv")
    double = pd.read_csv(tmp_path / "Impact_results_doubleKO.csv")
    assert set(single["gene_id"]) == {0, 5, 7} and set(single["cell_id"]) <= {1, 2, 3, 4, 5, 6}
    assert set(zip(double["gene1_id"], double["gene2_id"], strict=True)) <= {(0, 5), (0, 7), (5, 7)}
    assert dko(*words, "--genes", "5", "--force").code == 0
    assert not (tmp_path / "Impact_results_doubleKO.csv").exists(), "one gene has no pairs, and an old table is stale"


def test_earlier_run_is_replaced_only_if_asked_and_when_all_is_well(dko, table, tmp_path, kept):
    (tmp_path / "Impact_results.csv").write_text("old")
    words = ("reproduce", table, "--out", tmp_path)
    with kept:
        error = dko(*words, *QUICK).error
        assert error == f"'{tmp_path}' holds 'Impact_results.csv' of an earlier run; add --force to replace it."
        assert "--max-steps 0" in dko(*words, "--force", "--max-steps", "0", "--quiet").error
    assert dko(*words, "--force", *QUICK).code == 0
    assert (tmp_path / "Impact_results.csv").read_text() != "old"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--genes", "0,99"), "No gene '99' in var_names."),
        (("--cells", "80"), "No cell '80' in the table, which has 0 to 79."),
        (("--genes", "19"), "No chosen cell expresses '19', so there is nothing to knock out."),
        (("--n-samples", "0"), "--n-samples 0 must be at least 1."),
    ],
)
def test_reproduce_refuses_bad_input_before_fitting(dko, table, tmp_path, kept, words, says):
    with kept:
        assert says in dko("reproduce", table, "--out", tmp_path / "results", "--quiet", *words).error
