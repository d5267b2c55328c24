from __future__ import annotations

import matplotlib.pyplot as plt
import pytest

import dko


@pytest.fixture
def scanned(fitted):
    dko.tl.scan(fitted)
    dko.tl.virtual_ko(fitted, ["HSPA1A/B", "gene_3"])
    return fitted


def test_reads_and_leaves_nothing_behind(scanned, unchanged, tmp_path):
    figures = plt.get_fignums()
    with unchanged(scanned), plt.rc_context({"figure.dpi": 50}):
        dko.io.write_report(scanned, tmp_path / "report.html", groupby="cell_type")
        assert plt.rcParams["figure.dpi"] == 50
    assert plt.get_fignums() == figures
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_same_of_a_mudata_from_a_file(scanned, tmp_path, stored, mudata_of):
    del scanned.obsm["X_umap"]  # no need to draw it twice
    pages = []
    for source in (scanned, stored(mudata_of(first=scanned), tmp_path / "cells.h5mu")):
        dko.io.write_report(source, tmp_path / "report.html", mod="first")
        pages.append((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert _without_params(pages[0]) == _without_params(pages[1])


def _without_params(page):
    """Leave out the parameters, which come back from files in another order, and as arrays."""
    return page.split('<section id="parameters">')[0]


def test_title_and_style_of_others_do_not_matter(fitted, tmp_path):
    dko.io.write_report(fitted, tmp_path / "a.html", title="A & B")
    with plt.rc_context({"figure.facecolor": "black", "savefig.dpi": 20, "font.size": 30}):
        dko.io.write_report(fitted, tmp_path / "b.html", title="A & B")
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "<h1>A &amp; B</h1>" in page and page == (tmp_path / "b.html").read_text(encoding="utf-8")


def test_an_older_page_stays_if_anything_fails(fitted, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("older")
    with pytest.raises(KeyError, match="No column 'cell_tipe'.*'cell_type'"):
        dko.io.write_report(fitted, path, groupby="cell_tipe")
    assert path.read_text() == "older"
