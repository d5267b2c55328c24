from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest

import dko
from dko._core.write import write

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
    assert capsys.readouterr().err == "This AnnData was a view of another; to hold the results it has become a copy.\n"


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


@pytest.mark.parametrize("place", PLACES)
def test_all_or_nothing(place, scanned_cells, unchanged):
    """One value in any place is refused: what is there stays, in its order, also what was to be removed."""
    places: dict[str, Any] = {
        "obs": {"n": np.ones(80)},
        "var": {"n": np.ones(20), "dko_n_cells": np.zeros(20)},
        "layers": {"n": np.ones((80, 20)), "dko_impact": np.zeros((80, 20))},
        "obsm": {"m": np.ones((80, 2))},
        "uns": {"n": 1},
    }
    places[place]["wrong"] = (lambda earlier: earlier["no such thing"]) if place == "uns" else np.ones((3, 2))
    stale = {"var": ["dko_impact_mean"], "uns": ["dko"], "obsm": ["X_umap"], "obs": ["cell_type"]}
    for cells in (scanned_cells, scanned_cells[:]):
        with unchanged(cells), pytest.raises((ValueError, KeyError, TypeError)):
            write(cells, remove=stale, **places)


@pytest.mark.parametrize("handler", [signal.default_int_handler, "another"])
def test_an_interrupt_waits_until_everything_is_written(handler, cells):
    seen = []
    if handler == "another":
        handler = lambda number, frame: seen.append(number)  # noqa: E731

    def interrupted(earlier):
        signal.raise_signal(signal.SIGINT)
        assert not seen
        return 1

    before = signal.signal(signal.SIGINT, handler)
    try:
        with pytest.raises(KeyboardInterrupt) if handler is signal.default_int_handler else nullcontext():
            write(cells, uns={"a": interrupted, "b": 2})
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert cells.uns["a"] == 1 and cells.uns["b"] == 2
    assert seen == ([] if handler is signal.default_int_handler else [signal.SIGINT])


def test_threads_lose_nothing(fitted):
    """Knockouts, double knockouts and affected genes of eight threads: those of one after the other."""
    genes = list(fitted.var_names[2:10])
    alone = fitted.copy()

    def knock_out(adata, gene):
        dko.tl.virtual_ko(adata, gene, progress=False)
        dko.tl.virtual_ko(adata, [(gene, "gene_12")], progress=False)
        dko.tl.affected_genes(adata, gene, n_others=0, progress=False)
        return gene

    for gene in genes:
        knock_out(alone, gene)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(partial(knock_out, fitted), genes)) == genes
    order = alone.obsm["dko_impact"].columns
    assert set(fitted.obsm["dko_impact"].columns) == set(order) and set(fitted.layers) == set(alone.layers)
    pd.testing.assert_frame_equal(fitted.obsm["dko_impact"][order], alone.obsm["dko_impact"])
    for read in (lambda adata: adata.uns["dko"]["knockouts"], lambda adata: adata.uns["dko_affected"]["table"]):
        tables = [read(adata).astype(str) for adata in (fitted, alone)]
        both = [table.sort_values(list(table), ignore_index=True) for table in tables]
        pd.testing.assert_frame_equal(*both)
