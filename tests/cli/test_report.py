from __future__ import annotations

import shutil

import pytest


def test_writes_a_page_beside_the_file(dko, store, fitted, kept):
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


@pytest.mark.parametrize("ending", [".zarr", ".h5mu"])
def test_other_formats(dko, store, fitted, tmp_path, ending):
    source, page = store(fitted, f"cells{ending}"), tmp_path / "page.html"
    assert dko("report", source, "--out", page, "--quiet").code == 0
    assert "Quality of the fit" in page.read_text(encoding="utf-8")


def test_a_model_of_perturbations(dko, perturbed_file):
    assert dko("report", perturbed_file, "--quiet").code == 0
    assert 'id="perturbations"' in perturbed_file.with_suffix(".html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--out", "page.pdf"), "--out 'page.pdf' has to end in .html."),
        (("--out", "nowhere/page.html"), "The folder 'nowhere' does not exist"),
        (("--key", "other"), "holds no fit named 'other'"),
        (("--groupby", "cell_tipe"), "No column 'cell_tipe' in adata.obs. Did you mean 'cell_type'?"),
        (("--n-genes", "0"), "--n-genes 0 must be at least 1"),
    ],
)
def test_bad_input_is_one_line(dko, fitted_file, words, says, kept, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with kept:
        assert says in dko("report", fitted_file, *words, "--quiet").error


def test_missing_input(dko, tmp_path):
    assert dko("report", tmp_path / "gone.h5ad").error == f"There is no file '{tmp_path / 'gone.h5ad'}'."
    shutil.copy(__file__, tmp_path / "cells.loom")
    assert "ends in none of .h5ad, .zarr and .h5mu" in dko("report", tmp_path / "cells.loom", "--quiet").error
