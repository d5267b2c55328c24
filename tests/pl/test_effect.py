from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.colors import to_rgb

import dko

BLUE, RED, DARK, LIGHT = to_rgb("#0072B2"), to_rgb("#D55E00"), to_rgb("0.45"), to_rgb("0.8")


def affected(knockouts, groups=None, n=30):
    """Genes that knockouts change, as dko.tl.affected_genes leaves them: the first of all kinds."""
    rng = np.random.default_rng(0)
    genes = [f"GENE{i}" for i in range(n)]
    parts = []
    for knockout in knockouts:
        for group in groups or [None]:
            z = rng.normal(size=n)
            change = z / 100
            z[:6], change[:6] = [9, -8, 7, -6, 5, np.nan], [0.3, -0.2, 0.1, 0.05, -0.4, 0.5]
            part = pd.DataFrame({"knockout": knockout, "gene": genes, "n_cells": 30, "change": change, "z": z})
            if group:
                part.insert(1, "group", group)
            part["pval_adj"] = np.where(np.abs(z) > 4, 0.001, 0.9)
            part["specific"] = np.isin(np.arange(n), [0, 1])
            parts.append(part[part["gene"] != knockout])
    table = pd.concat(parts, ignore_index=True)
    return AnnData(np.ones((1, 1), dtype=np.float32), uns={"dko_affected": {"table": table}})


def drawn(ax):
    """Colour and opacity of the point of each pair of coordinates."""
    found = {}
    for points in ax.collections:
        for place in np.asarray(points.get_offsets()):
            face = points.get_facecolors()[0]
            found[tuple(np.round(place, 5))] = (tuple(face[:3]), float(face[3]))
    return found


def test_colours_say_what_falls_and_rises_and_what_is_special():
    ax = dko.pl.effect(affected(["A/B"]), "A/B", show=False)
    points = drawn(ax)
    assert len(points) == 29, "what is not tested has no point"
    assert points[(0.3, 9.0)] == (RED, 1.0) and points[(-0.2, 8.0)] == (BLUE, 1.0)
    assert points[(0.1, 7.0)] == (RED, 0.3), "others do that too"
    assert points[(0.05, 6.0)] == points[(-0.4, 5.0)] == (DARK, 1.0), "the cells show the other sign"
    assert sum(color == LIGHT for color, _ in points.values()) == 24
    assert ax.get_title() == "A/B"
    line = next(line for line in ax.lines if line.get_linestyle() == "--")
    assert line.get_ydata()[0] == 5.0, "the least that is found"


def test_names_of_those_that_change_most():
    ax = dko.pl.effect(affected(["A"]), n_genes=2, show=False)
    assert sorted(text.get_text() for text in ax.texts) == ["GENE0", "GENE1"]
    assert not dko.pl.effect(affected(["A"]), n_genes=0, show=False).texts


def test_the_legend_has_what_there_is():
    table = affected(["A"])
    labels = [text.get_text() for text in dko.pl.effect(table, show=False).figure.legends[0].texts]
    assert labels == ["falls", "rises", "rises, by other knockouts too", "co-expression of the other sign", "FDR 0.05"]
    table.uns["dko_affected"]["table"]["pval_adj"] = 1.0
    ax = dko.pl.effect(table, show=False)
    assert not ax.texts and not ax.figure.legends[0].texts
    assert all(color == LIGHT for color, _ in drawn(ax).values())


def test_a_panel_per_knockout_and_group():
    adata = affected(["A", "B"], groups=["CD4/CD8 T", "NK"])
    titles = [ax.get_title() for ax in dko.pl.effect(adata, show=False)]
    assert titles == ["A in CD4/CD8 T", "A in NK", "B in CD4/CD8 T", "B in NK"]
    assert dko.pl.effect(adata, "B", group="NK", show=False).get_title() == "B in NK"


def test_heatmap_has_changes_of_the_genes_that_change_most_in_any():
    adata = affected(["A", "GENE0", "C"])
    table = adata.uns["dko_affected"]["table"]
    table.loc[(table["knockout"] == "C") & (table["gene"] == "GENE20"), "change"] = 9.0
    figure = dko.pl.effect(adata, kind="heatmap", n_genes=5, return_fig=True)
    (ax,) = figure.axes
    rows, columns = ([text.get_text() for text in names] for names in (ax.get_yticklabels(), ax.get_xticklabels()))
    assert sorted(rows) == ["A", "C", "GENE0"] and len(columns) == 5
    assert {"GENE20", "GENE5", "GENE4", "GENE0"} <= set(columns)
    wide = table.pivot(index="knockout", columns="gene", values="change").loc[rows, columns]
    np.testing.assert_allclose(np.ma.filled(ax.images[0].get_array().astype(float), np.nan), wide)
    assert np.isnan(wide.loc["GENE0", "GENE0"])
    assert ax.images[0].norm.vmin == -ax.images[0].norm.vmax < 0
    assert all(text.get_style() == "italic" for text in ax.get_yticklabels())
    assert ax.child_axes[-1].get_ylabel().startswith("mean change of")


def test_no_knockout_takes_all_columns():
    adata = affected(["A", "B"])
    table = adata.uns["dko_affected"]["table"]
    table["change"] = np.where(table["knockout"] == "A", 100.0, 1.0) * np.arange(60)
    table.loc[table["knockout"] == "B", "change"] = np.arange(30)[::-1]
    ax = dko.pl.effect(adata, kind="heatmap", n_genes=2, show=False)
    assert sorted(text.get_text() for text in ax.get_xticklabels()) == ["GENE0", "GENE29"]


def test_heatmap_of_groups():
    adata = affected(["A"], groups=["CD4/CD8 T", "NK", "B"])
    ax = dko.pl.effect(adata, kind="heatmap", show=False)
    assert sorted(text.get_text() for text in ax.get_yticklabels()) == ["A in B", "A in CD4/CD8 T", "A in NK"]
    assert all(text.get_style() == "normal" for text in ax.get_yticklabels())


@pytest.mark.parametrize("kind", ["volcano", "heatmap"])
def test_keywords_and_axes_of_the_user(kind):
    own = plt.figure().add_subplot()
    given = {"s": 3.0} if kind == "volcano" else {"cmap": "PuOr_r"}
    assert dko.pl.effect(affected(["A"]), kind=kind, ax=own, show=False, **given) is own
    if kind == "volcano":
        assert {size for points in own.collections for size in points.get_sizes()} == {3.0}
        assert own.get_legend() is not None
    else:
        assert own.images[0].get_cmap().name == "PuOr_r"


@pytest.mark.parametrize("kind", ["volcano", "heatmap"])
def test_after_the_tool_on_a_modality(kind, scanned, unchanged):
    from mudata import MuData

    from dko._compat import modalities_apart

    with modalities_apart():
        data = MuData({"expression": scanned})
    dko.tl.affected_genes(data, ["gene_3", "HSPA1A/B"], n_others=5, mod="expression")
    with unchanged(data["expression"]):
        figure = dko.pl.effect(data, kind=kind, mod="expression", return_fig=True)
    assert not plt.get_fignums()
    if kind == "volcano":
        assert [ax.get_title() for ax in figure.axes] == ["gene_3", "HSPA1A/B"]
    else:
        assert sorted(text.get_text() for text in figure.axes[0].get_yticklabels()) == ["HSPA1A/B", "gene_3"]


def test_refusals_are_one_sentence_and_leave_no_figure(fitted):
    with pytest.raises(KeyError, match="No affected genes in .* run dko.tl.affected_genes"):
        dko.pl.effect(fitted)
    adata = affected(["A", "B"])
    with pytest.raises(KeyError, match="No knockout 'D'"):
        dko.pl.effect(adata, "D")
    with pytest.raises(KeyError, match="No group 'NK'"):
        dko.pl.effect(adata, "A", group="NK")
    with pytest.raises(ValueError, match="kind='bars' must be 'volcano' or 'heatmap'"):
        dko.pl.effect(adata, kind="bars")
    with pytest.raises(ValueError, match="n_genes=0 must be at least 1"):
        dko.pl.effect(adata, kind="heatmap", n_genes=0)
    assert not plt.get_fignums()
    ax = plt.figure().add_subplot()
    with pytest.raises(ValueError, match="room for one panel, but there are 2, one per knockout and group"):
        dko.pl.effect(adata, ax=ax)
