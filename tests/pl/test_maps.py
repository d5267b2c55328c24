"""What a picture is too small to tell: every value in its place, and names that can be read."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.text import Text

import dko

from .conftest import GENES


def names_of(ax):
    return ([text.get_text() for text in labels] for labels in (ax.get_yticklabels(), ax.get_xticklabels()))


def test_matrix_has_every_pair_twice_and_stars_where_pairs_interact(pictured):
    (ax,) = dko.pl.pairs(pictured, return_fig=True).axes
    rows, columns = names_of(ax)
    expected = dko.get.interactions(pictured, matrix="z").loc[rows, columns]
    assert rows == columns and len(rows) == 8
    np.testing.assert_array_equal(ax.images[0].get_array().filled(np.nan), expected)
    assert ax.images[0].norm.vmin == -ax.images[0].norm.vmax
    starred = {frozenset(rows[int(v)] for v in text.get_position()) for text in ax.texts}
    table = dko.get.interactions(pictured)
    found = table.loc[table["class"] != "additive", ["gene_a", "gene_b"]]
    assert starred == set(map(frozenset, found.to_numpy())) and len(ax.texts) == 2 * len(starred) > 0


def test_heatmap_has_changes_of_the_genes_that_change_most_in_any_knockout(pictured):
    table = pictured.uns["dko_affected"]["table"]
    table.loc[(table["knockout"] == "gene_7") & (table["gene"] == "gene_19"), "change"] = 9.0
    table.loc[table["knockout"] == "gene_5", "change"] *= 1e-3
    (ax,) = dko.pl.effect(pictured, kind="heatmap", n_genes=4, return_fig=True).axes
    rows, columns = names_of(ax)
    wide = table.pivot(index="knockout", columns="gene", values="change").loc[rows, columns]
    assert len(rows) == len(columns) == 4 and "gene_19" in columns
    of_least = table[table["knockout"] == "gene_5"].set_index("gene")["change"].abs()
    assert of_least.idxmax() in columns, "no knockout takes all columns"
    np.testing.assert_allclose(np.ma.filled(ax.images[0].get_array().astype(float), np.nan), wide)
    assert ax.images[0].norm.vmin == -ax.images[0].norm.vmax < 0


def test_names_cover_no_other_name(pictured):
    figure = dko.pl.modules(pictured, return_fig=True)
    (ax,) = figure.axes
    assert sorted(text.get_text() for text in ax.texts) == sorted(f"GENE{i}" for i in range(24))
    figure.draw_without_rendering()
    frame = ax.get_window_extent()
    # Of the letters alone, without the line to the point.
    boxes = [Text.get_window_extent(text) for text in ax.texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert all(frame.x0 - 1 <= box.x0 and box.x1 <= frame.x1 + 1 for box in boxes)


def test_a_curve_with_its_quartiles_per_knockout(pictured):
    ax = dko.pl.dose_response(pictured, show=False)
    assert [text.get_text() for text in ax.get_legend().texts] == GENES
    for line, band, label in zip(ax.lines, ax.collections, GENES, strict=True):
        table = dko.get.dose_response(pictured, [label])
        np.testing.assert_allclose(line.get_xydata(), table[["dose", "impact_mean"]])
        heights = band.get_paths()[0].vertices[:, 1]
        assert heights.min() == 0 and heights.max() == pytest.approx(table["impact_q75"].max())
