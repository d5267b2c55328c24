"""What a picture is too small to tell: every value in its place, and names that can be read."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
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


def test_matrices_of_which_all_is_the_same_are_drawn_without_a_warning(pictured):
    pictured.uns["dko_interactions"]["table"]["z"] = 1.0  # which scipy would take for distances
    dko.pl.pairs(pictured, show=False)
    pictured.uns["dko_affected"]["table"]["change"] = 1.0
    ax = dko.pl.effect(pictured, kind="heatmap", n_genes=4, show=False)
    assert ax.images[0].get_array().shape[1] == 4


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
    assert [text.get_text() for text in ax.get_legend().texts] == [*GENES, "quartiles of the cells"]
    for line, band, label in zip(ax.lines, ax.collections, GENES, strict=True):
        table = dko.get.dose_response(pictured, [label])
        np.testing.assert_allclose(line.get_xydata(), table[["dose", "impact_median"]])
        assert (table["impact_median"] <= table["impact_q75"]).all(), "a curve lies within its band"
        heights = band.get_paths()[0].vertices[:, 1]
        assert heights.min() == 0 and heights.max() == pytest.approx(table["impact_q75"].max())


def test_names_without_room_are_left_out(pictured):
    table = pictured.uns["dko_modules"]["table"]
    table[["umap_1", "umap_2"]] /= 1e6
    table.loc[0, ["umap_1", "umap_2"]] = 1.0
    (ax,) = dko.pl.modules(pictured, return_fig=True).axes
    assert 2 <= len(ax.texts) < 24
    assert "GENE0" in {text.get_text() for text in ax.texts}


def test_of_many_perturbations_the_strongest_of_each_module_are_named(pictured):
    table = pd.concat([pictured.uns["dko_modules"]["table"]] * 3, ignore_index=True)
    table["perturbation"], table["strength"] = [f"GENE{i}" for i in range(72)], np.arange(72.0)
    pictured.uns["dko_modules"]["table"] = table
    (ax,) = dko.pl.modules(pictured, return_fig=True).axes
    assert {text.get_text() for text in ax.texts} <= {f"GENE{i}" for i in range(52, 72)}


def test_no_line_of_a_network_runs_through_a_name(pictured):
    figure = dko.pl.pairs(pictured, kind="network", return_fig=True)
    (ax,) = figure.axes
    figure.draw_without_rendering()
    lines = [line for found in ax.collections if isinstance(found, LineCollection) for line in found.get_segments()]
    boxes = [Text.get_window_extent(text) for text in ax.texts]
    steps = np.linspace(0, 1, 200)[:, None]
    along = [ax.transData.transform((1 - steps) * start + steps * end) for start, end in lines]
    assert len(lines) > 3 and len(boxes) == 8
    assert not any(box.count_contains(line) for box in boxes for line in along)


def test_a_lollipop_has_the_genes_that_change_most_and_how_surely_they_do(pictured):
    (ax,) = dko.pl.effect(pictured, "gene_5", kind="lollipop", n_genes=4, return_fig=True).axes
    table = dko.get.affected_genes(pictured, "gene_5")
    table = table[(table["pval_adj"] <= 0.05) & (np.sign(table["z"]) == np.sign(table["change"]))]
    table = table.loc[table["change"].abs().nlargest(4).index].sort_values("change", ascending=False)
    assert [text.get_text() for text in ax.get_yticklabels()] == table["gene"].to_list()
    sticks, intervals, dots = ax.collections
    np.testing.assert_allclose(dots.get_offsets(), list(zip(table["change"], range(4), strict=True)))
    np.testing.assert_allclose([part[:, 0] for part in sticks.get_segments()], [[0, one] for one in table["change"]])
    ends = [part[:, 0] for part in intervals.get_segments()]
    half = 1.96 * table["change"].abs() / table["z"].abs()
    np.testing.assert_allclose(ends, np.transpose([table["change"] - half, table["change"] + half]))
    falls = (dots.get_facecolors()[:, 2] > dots.get_facecolors()[:, 0]).tolist()
    assert falls == (table["change"] < 0).to_list()


def test_a_lollipop_says_where_no_gene_changes(pictured):
    table = pictured.uns["dko_affected"]["table"]
    table.loc[table["knockout"] == "gene_5", "pval_adj"] = 1.0
    axes = dko.pl.effect(pictured, kind="lollipop", return_fig=True).axes
    assert {ax.get_title() for ax in axes if ax.texts} == {"gene_5"}


def test_volcanoes_have_one_scale_and_explain_every_colour(pictured):
    figure = dko.pl.effect(pictured, return_fig=True)
    assert len({(ax.get_xlim(), ax.get_ylim()) for ax in figure.axes}) == 1 and len(figure.axes) == 4
    labels = {text.get_text() for text in figure.legends[0].texts}
    assert {"falls", "rises", "not significant", "FDR 0.05"} <= labels


@pytest.mark.parametrize("surest", [0, -1])
def test_no_gene_lies_outside_of_the_scale_of_volcanoes(surest, pictured):
    table = pictured.uns["dko_affected"]["table"]
    knockout = table["knockout"].unique()[surest]
    table.loc[table["knockout"] == knockout, "z"] *= 3.0
    for ax in dko.pl.effect(pictured, return_fig=True).axes:
        heights = np.concatenate([np.asarray(drawn.get_offsets())[:, 1] for drawn in ax.collections])
        low, high = ax.get_ylim()
        assert low == 0 and heights.max() < high
