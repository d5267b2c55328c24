from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import dko
from dko._write import write

PLACES: dict[str, Any] = {
    "obs": {"n": np.arange(40)},
    "var": {"n": np.arange(20)},
    "uns": {"n": {"a": 1}},
    "layers": {"n": np.ones((40, 20))},
    "obsm": {"n": pd.DataFrame({"a": np.arange(40)}, index=[f"cell_{i}" for i in range(40)])},
}


@pytest.mark.parametrize("place", PLACES)
def test_into_a_view(place, cells, unchanged, capsys):
    with unchanged(cells):
        view = cells[:40]
        write(view, **{place: PLACES[place]})
    assert not view.is_view
    assert "n" in getattr(view, place)
    assert capsys.readouterr().err == "This AnnData is a view of another; the results make it a copy of its own.\n"


def test_into_no_view_nothing_is_said(cells, capsys):
    part = cells[:40].copy()
    write(part, **PLACES)
    assert all("n" in getattr(part, place) for place in PLACES)
    assert capsys.readouterr().err == ""


def test_silence(cells, capsys):
    with dko.settings.override(verbosity=0):
        write(cells[:40], **PLACES)
    assert capsys.readouterr().err == ""


def test_a_new_fit_and_a_new_scan_take_away_what_went_by_the_old(scanned_cells, quick):
    cells = scanned_cells
    dko.tl.cluster_impact(cells)
    dko.tl.identity_shift(cells, ["HSPA1A/B", "gene_3"], groupby="cell_type", n_neighbors=5)
    of_clusters = {"X_dko_impact_pca", "X_dko_impact_umap"}
    of_shifts = {f"dko_{what}_{gene}" for what in ("shift_umap", "identity") for gene in ("HSPA1A%2FB", "gene_3")}
    assert set(cells.obsm) == {"X_umap", *of_clusters, *of_shifts}
    dko.tl.scan(cells)
    assert set(cells.obsm) == {"X_umap", *of_shifts}
    assert "dko_cluster" not in cells.obs and "dko_cluster" not in cells.uns
    dko.tl.fit(cells, **quick)
    assert set(cells.obsm) == {"X_umap"} and "dko_identity" not in cells.uns


@pytest.fixture
def scanned_cells(fitted):
    return dko.tl.scan(fitted, copy=True)
