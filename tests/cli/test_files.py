"""Bad files at either end: every command that reads cells refuses them alike, before any work."""

from __future__ import annotations

import sys

import pandas as pd
import pytest

import dko as package
from dko.io._files import read_any

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="not even root can write to this folder")
COMMANDS = {"fit": ("fit", ()), "ko": ("virtual_ko", ("gene_3",)), "scan": ("scan", ())}


@pytest.fixture(params=COMMANDS)
def command(request, dko, kept, verb_is):
    """Run a command that is to fail before any work and to leave all files alone."""
    verb, given = COMMANDS[request.param]

    def never():
        raise AssertionError("The work has begun.")

    verb_is(verb, never)

    def run(source, out, *words):
        with kept:
            return dko(request.param, source, *given, "--out", out, "--quiet", *words).error

    return run


@pytest.mark.parametrize(
    ("source", "out", "says"),
    [
        ("gone.h5ad", "out.h5ad", "There is no file 'gone.h5ad'."),
        ("bad.h5mu", "out.h5mu", "bad.h5mu' cannot be read as .h5mu: "),
        ("cells.loom", "out.h5ad", "ends in none of .h5ad, .zarr and .h5mu"),
        ("fitted.h5ad", "out.txt", "ends in none of"),
        ("fitted.h5ad", "out.h5mu", "let it end in .h5ad or .zarr."),
        ("fitted.h5ad", "nowhere/out.h5ad", "nowhere' does not exist; make it first."),
        ("fitted.h5ad", "fitted.h5ad", "fitted.h5ad' exists; add --force to replace it."),
        ("fitted.h5ad", "other.zarr --force", "is a folder with other content"),
        pytest.param("fitted.h5ad", "/proc/out.h5ad", "The folder '/proc' cannot be written to: ", marks=LINUX),
    ],
)
def test_files_that_do_not_do(command, store, fitted, tmp_path, monkeypatch, source, out, says):
    monkeypatch.chdir(tmp_path)
    if source.startswith("fitted"):
        store(fitted, source)
    (tmp_path / "bad.h5mu").write_text("no cells")
    (tmp_path / "cells.loom").touch()
    (tmp_path / "other.zarr").mkdir()
    (tmp_path / "other.zarr" / "thesis.txt").write_text("years of work")
    assert says in command(source, *out.split())


def test_modality_and_fit_that_are_not_there(dko, store, fitted, raw_file, tmp_path, kept):
    source = store(fitted, "fitted.h5mu")
    with kept:
        ran = dko("scan", source, "--out", tmp_path / "out.h5mu", "--mod", "rma", "--quiet")
        assert ran.error == "No modality 'rma' in the MuData. Did you mean 'rna'? It has 'rna', 'prot'."
        ran = dko("scan", raw_file, "--out", tmp_path / "out.h5ad", "--quiet", "--key", "mine")
    assert ran.error == "No fitted model in adata.uns['mine']; run `dko fit --key mine` first."


@pytest.mark.parametrize("name", ["cells.h5ad", "cells.zarr", "cells.h5mu"])
def test_file_may_be_changed_in_place_with_force(dko, store, fitted, tmp_path, name):
    path = store(fitted, name)
    assert dko("scan", path, "--out", path, "--force").code == 0
    back = read_any(path)
    assert "dko_impact" in (back["rna"] if name.endswith("h5mu") else back).layers
    assert [found.name for found in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("ending", [".csv.gz", ".tsv"])
def test_a_table_beside_the_cells_or_instead_of_them(dko, fitted_file, fitted, tmp_path, kept, ending):
    table, separator = tmp_path / f"impacts{ending}", "\t" if "tsv" in ending else ","
    words = ("scan", fitted_file, "--genes", "gene_3,gene_4", "--groups", "cell_type=B", "--quiet")
    assert dko(*words, "--out", tmp_path / "out.h5ad", "--table", table).code == 0
    package.tl.scan(fitted, genes=["gene_3", "gene_4"], groups={"cell_type": "B"})
    expected = package.get.impact_table(fitted)
    written = pd.read_csv(table, sep=separator, dtype={"cell_id": str})
    pd.testing.assert_frame_equal(written, expected.astype({"gene_id": object, "cell_id": object}), check_dtype=False)
    with kept:
        assert dko(*words, "--out", table).error == f"'{table}' exists; add --force to replace it."
    assert dko(*words, "--out", table, "--force").code == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--out", "a.h5ad", "--table", "a.h5ad"), "--out and --table are one file, 'a.h5ad'"),
        (("--out", "a.h5ad", "--table", "nowhere/a.csv"), "The folder 'nowhere' does not exist; make it first."),
        (("--out", "a.csv", "--table", "b.csv"), "--out 'a.csv' is a table; name a file of cells"),
        (("--out", "a.h5ad", "--table", "a.csv", "--impacts", "a.zarr"), "choose one."),
    ],
)
def test_outputs_that_do_not_fit_together(dko, fitted_file, tmp_path, kept, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    with kept:
        assert says in dko("scan", fitted_file, *words, "--quiet").error
