"""Bad files at either end: every command that reads cells refuses them alike, before any work."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from anndata import AnnData

import dko as package
from dko.io._files import read_any, write_any

COMMANDS = {
    "fit": (),
    "ko": ("gene_3",),
    "scan": (),
    "rank": (),
    "affected": ("gene_3",),
    "interactions": ("gene_3", "gene_4"),
}


@pytest.fixture(params=COMMANDS)
def command(request, dko, kept, monkeypatch):
    """Run a command that is to fail before any work and to leave all files alone."""

    def never(*_, **__):
        raise AssertionError("The work has begun.")

    for name in ("fit", "virtual_ko", "scan", "rank_genes", "affected_genes", "interactions"):
        monkeypatch.setattr(f"dko.tl.{name}", never)

    def run(source, out, *words):
        with kept:
            return dko(request.param, source, *COMMANDS[request.param], "--out", out, "--quiet", *words).error

    return run


def test_missing_input(command, tmp_path):
    assert command(tmp_path / "gone.h5ad", tmp_path / "out.h5ad") == f"There is no file '{tmp_path}/gone.h5ad'."


@pytest.mark.parametrize("name", ["bad.h5ad", "bad.h5mu", "bad.zarr"])
def test_unreadable_input(command, tmp_path, name):
    (tmp_path / name).write_text("no cells")
    assert f"'{tmp_path / name}' cannot be read as .{name[4:]}: " in command(
        tmp_path / name, tmp_path / f"out{name[3:]}"
    )


def test_input_of_unknown_format(command, tmp_path):
    (tmp_path / "cells.loom").touch()
    assert "ends in none of .h5ad, .zarr and .h5mu" in command(tmp_path / "cells.loom", tmp_path / "out.h5ad")


@pytest.mark.parametrize(
    ("name", "says"), [("out.csv", "ends in none of"), ("out.h5mu", "let it end in .h5ad or .zarr.")]
)
def test_output_of_another_format(command, fitted_file, tmp_path, name, says):
    assert says in command(fitted_file, tmp_path / name)


def test_output_that_exists(command, fitted_file, store, cells):
    old = store(cells, "old.h5ad")
    assert command(fitted_file, old) == f"'{old}' exists; add --force to replace it."


def test_input_is_not_replaced_unasked(command, fitted_file):
    assert command(fitted_file, fitted_file) == f"'{fitted_file}' exists; add --force to replace it."


def test_output_folder_that_does_not_exist(command, fitted_file, tmp_path):
    says = command(fitted_file, tmp_path / "nowhere" / "out.h5ad")
    assert says == f"The folder '{tmp_path}/nowhere' does not exist; make it first."


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a folder that not even root can write to")
def test_output_folder_that_cannot_be_written_to(command, fitted_file):
    assert "The folder '/proc' cannot be written to: " in command(fitted_file, Path("/proc/out.h5ad"))


@pytest.mark.parametrize("name", ["other.h5ad", "other.zarr"])
def test_folder_of_something_else_is_never_replaced(command, fitted_file, tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "thesis.txt").write_text("years of work")
    assert command(fitted_file, tmp_path / name, "--force").endswith(
        "is a folder with other content; choose another name."
    )


def test_unknown_modality(dko, store, fitted, tmp_path, kept):
    source = store(fitted, "fitted.h5mu")
    with kept:
        ran = dko("scan", source, "--out", tmp_path / "out.h5mu", "--mod", "rma", "--quiet")
    assert ran.error == "No modality 'rma' in the MuData. Did you mean 'rna'? It has 'rna', 'prot'."


@pytest.mark.parametrize("name", ["ko", "scan"])
def test_cells_without_a_fit(dko, raw_file, tmp_path, kept, name):
    with kept:
        ran = dko(name, raw_file, *COMMANDS[name], "--out", tmp_path / "out.h5ad", "--quiet", "--key", "mine")
    assert ran.error == f"'{raw_file}' holds no fit named 'mine'; run `dko fit {raw_file} --out ...` first."


def test_failing_write_leaves_the_old_file(dko, fitted_file, store, cells, tmp_path, kept, monkeypatch):
    old = store(cells, "old.h5ad")

    def half(self, target):
        target.write_text("half")
        raise OSError("No space left on device.")

    monkeypatch.setattr(AnnData, "write_h5ad", half)
    with kept:
        ran = dko("scan", fitted_file, "--out", old, "--force", "--quiet")
    assert (ran.code, ran.err) == (2, "dko: error: No space left on device.\n")


@pytest.mark.parametrize("name", ["cells.h5ad", "cells.zarr", "cells.h5mu"])
def test_file_may_be_changed_in_place_with_force(dko, store, fitted, tmp_path, name):
    path = store(fitted, name)
    assert dko("scan", path, "--out", path, "--force").code == 0
    back = read_any(path)
    assert "dko_impact" in (back["rna"] if name.endswith("h5mu") else back).layers
    assert [found.name for found in tmp_path.iterdir()] == [name]


def test_format_may_change_between_those_of_one_kind(dko, fitted, store, tmp_path):
    write_any(fitted, tmp_path / "in.zarr")
    assert dko("scan", tmp_path / "in.zarr", "--out", tmp_path / "out.h5ad").code == 0
    assert "dko_impact" in read_any(tmp_path / "out.h5ad").layers


@pytest.mark.parametrize("name", COMMANDS)
def test_cells_are_saved_before_tables_are_made(dko, fitted, store, tmp_path, monkeypatch, name):
    def fails(*_, **__):
        raise ValueError("No table today.")

    for table in ("quality_table", "knockout_table", "keystone_table"):
        monkeypatch.setattr(f"dko.cli._tables.{table}", fails)
    for table in ("rank_table", "affected_table", "interaction_table"):
        monkeypatch.setattr(f"dko.cli._significance_tables.{table}", fails)
    package.tl.scan(fitted)
    source, out = store(fitted, "scanned.h5ad"), tmp_path / "out.h5ad"
    assert dko(name, source, *COMMANDS[name], "--out", out, "--quiet").error == "No table today."
    assert "dko" in read_any(out).uns
