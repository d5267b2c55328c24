"""More cells than a method takes at once: the result is of cells at random, near that of all, and says so."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

import dko

from .conftest import call

_N = 40


@pytest.fixture
def few(monkeypatch):
    """Let 40 cells be many."""
    for name in ("_core.cells.MOST_CELLS", "tl._rank_genes.MOST_CELLS", "tl._affected_genes.MOST_CELLS"):
        monkeypatch.setattr(f"dko.{name}", _N)
    monkeypatch.setattr("dko.tl._cluster_impact._MOST", _N)
    monkeypatch.setattr("dko.pl._embedding.MOST_POINTS", _N)


@pytest.fixture
def scanned(_total):
    return dko.tl.scan(_total, copy=True)


@pytest.mark.parametrize("groupby", [None, "cell_type"])
def test_a_ranking_has_the_same_means_and_intervals_as_wide(scanned, groupby, few, monkeypatch):
    dko.tl.rank_genes(scanned, groupby=groupby)
    found = dko.get.ranking(scanned, groupby=groupby)
    monkeypatch.undo()
    dko.tl.rank_genes(scanned, groupby=groupby)
    expected = dko.get.ranking(scanned, groupby=groupby)
    bounds = ["downstream_low", "downstream_high"]
    pd.testing.assert_frame_equal(found.drop(columns=bounds), expected.drop(columns=bounds))
    widths = [table["downstream_high"] - table["downstream_low"] for table in (found, expected)]
    assert np.abs(np.log(widths[0] / widths[1])).median() < 0.1
    np.testing.assert_allclose(found[bounds], expected[bounds], atol=float(0.2 * widths[1].max()))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("affected_genes", "Genes are tested in 40 of 80 cells, at random."),
        ("interactions", "Pairs are knocked out in 40 of 80 cells, at random."),
        ("cluster_impact", "Clusters are of 40 of 80 cells, at random."),
    ],
)
def test_what_is_of_some_cells_says_so(name, sentence, scanned, few, capsys):
    more = {"key_added": None} if name == "cluster_impact" else {}
    call(f"tl.{name}", scanned, key="dko", **more)
    assert sentence in capsys.readouterr().err


def test_direct_effects_are_tested_in_some_cells(fitted, few, capsys):
    dko.tl.scan(fitted)
    dko.tl.rank_genes(fitted, n_bootstraps=2)
    assert "p-values are of 40 of 80 cells, at random." in capsys.readouterr().err


def test_clusters_leave_out_the_others(scanned, few):
    dko.tl.cluster_impact(scanned)
    assert scanned.obs["dko_cluster"].notna().sum() <= _N
    assert np.isfinite(scanned.obsm["X_dko_impact_umap"][:, 0]).sum() == scanned.obs["dko_cluster"].notna().sum()


def test_shifts_are_near_those_by_all_cells(scanned, few, monkeypatch):
    how: dict[str, Any] = {"genes": "gene_2", "groupby": "cell_type", "n_pcs": 19}
    dko.tl.identity_shift(scanned, **how)
    found = dko.get.identity(scanned)
    monkeypatch.undo()
    dko.tl.identity_shift(scanned, **how)
    # Almost all components: whichever cells they are of, lengths hardly change.
    np.testing.assert_allclose(found["length"], dko.get.identity(scanned)["length"], rtol=0.1)


def test_reports_say_what_was_drawn(scanned, few, tmp_path, monkeypatch):
    monkeypatch.setattr("dko._core.cells.MOST_CELLS", 10)
    dko.io.write_report(scanned, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert re.search("Profiles of 10 of 16 validation cells, at random, predicted by", page)
    figure = dko.pl.impact(scanned, "gene_2", return_fig=True)
    assert "points: 40 of 80 cells, at random" in figure.axes[0].get_title().replace("\n", " ")
