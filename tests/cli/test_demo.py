from __future__ import annotations

import time
from pathlib import Path

import pytest

from dko.io._files import read_any

# scanpy uses it; the newest matplotlib would rather have another.

FILES = {"impact.png", "ranking.png", "fit.png", "history.png", "demo.h5ad"}


@pytest.fixture
def few(monkeypatch, cells):
    """80 cells in place of the real ones."""
    monkeypatch.setattr("dko.datasets.pbmc68k", lambda: cells)


def test_demo_shows_everything_and_names_its_files(dko, few, tmp_path):
    ran = dko("demo", "--out", tmp_path / "shown", "--quiet")
    assert ran.code == 0 and ran.err == ""
    assert {path.name for path in (tmp_path / "shown").iterdir()} == FILES
    assert all((tmp_path / "shown" / name).read_bytes().startswith(b"\x89PNG") for name in FILES if "png" in name)
    for part in (
        "80 human blood cells",
        "16 test cells",
        "gene mean per cell_type",
        "Keystone genes",
        "Without ",
    ):
        assert part in ran.out
    assert all(name in ran.out for name in FILES) and "dko fit cells.h5ad" in ran.out
    adata = read_any(tmp_path / "shown" / "demo.h5ad")
    assert "dko_impact" in adata.layers and "dko_impact" in adata.obsm and (adata.obs["dko_split"] == "test").any()


def test_demo_may_be_repeated_beside_other_files(dko, few, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    for _ in range(2):
        assert dko("demo", "--out", tmp_path, "--quiet").code == 0
    assert {path.name for path in tmp_path.iterdir()} == FILES | {"mine.txt"}


def test_folder_that_cannot_be_made_is_refused_first(dko, tmp_path, monkeypatch):
    monkeypatch.delattr("dko.datasets.pbmc68k")
    assert "cannot be made" in dko("demo", "--out", tmp_path / "no" / "where").error


@pytest.mark.slow
def test_real_demo_ends_in_time(dko, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    start = time.monotonic()
    ran = dko("demo", "--quiet")
    assert time.monotonic() - start < 120
    assert ran.code == 0 and "700 human blood cells (PBMC) of 10 types, 765 genes" in ran.out
    assert {path.name for path in Path("demo").iterdir()} == FILES
