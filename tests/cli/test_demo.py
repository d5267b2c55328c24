"""The demo and the pages."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd

from dko import get
from dko.io._files import read_any

TABLES = {"ranking.csv", "affected.csv", "report.html"}
DEMO = {"impact.png", "ranking.png", "affected.png", "fit.png", "demo.h5ad", *TABLES}


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
    ranking, affected = (pd.read_csv(folder / name) for name in ("ranking.csv", "affected.csv"))
    expected = get.ranking(adata, groupby="cell_type")
    assert list(ranking["gene"]) == list(expected["gene"]) and list(ranking["group"]) == list(expected["group"])
    np.testing.assert_allclose(ranking["downstream_mean"], expected["downstream_mean"], rtol=1e-6)
    assert set(affected["knockout"]) == {get.ranking(adata)["gene"].iloc[0]}
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


def test_embedding_writes_the_cells_and_the_knockouts_that_are_asked_for(dko, store, fitted, tmp_path):
    fitted.obsm["X_pca"] = np.random.default_rng(0).normal(size=(80, 2))
    source, scanned, page = store(fitted, "cells.h5ad"), tmp_path / "scanned.h5ad", tmp_path / "cells.html"
    assert dko("scan", source, "--out", scanned, "--quiet").code == 0
    words = ("embedding", scanned, "--out", page, "--basis", "pca", "--genes", "gene_3,gene_5", "--downstream")
    ran = dko(*words, "--groupby", "cell_type")
    assert (ran.code, ran.out, ran.err) == (0, "", f"Wrote {page}.\n")
    text = page.read_text(encoding="utf-8")
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)
    found = json.loads(data)
    assert found["labels"] == ["gene_3", "gene_5"] and len(found["name"]) == 80
    assert "<h1>Virtual knockouts: scanned.h5ad</h1>" in text
    assert dko(*words).error == f"'{page}' exists; add --force to replace it."
    error = dko("embedding", scanned, "--out", tmp_path / "other.html", "--basis", "tsne").error
    assert "No embedding 'tsne'" in error
