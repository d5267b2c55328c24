from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.colors import to_hex, to_rgb

import dko

SLASH = "HSPA1A/B"
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


def test_no_knockout_takes_all_columns_of_a_heatmap_and_groups_are_rows():
    ax = dko.pl.effect(affected(["A"], groups=["CD4/CD8 T", "NK", "B"]), kind="heatmap", show=False)
    assert sorted(text.get_text() for text in ax.get_yticklabels()) == ["A in B", "A in CD4/CD8 T", "A in NK"]
    assert all(text.get_style() == "normal" for text in ax.get_yticklabels())
    adata = affected(["A", "B"])
    table = adata.uns["dko_affected"]["table"]
    table["change"] = np.where(table["knockout"] == "A", 100.0, 1.0) * np.arange(60)
    table.loc[table["knockout"] == "B", "change"] = np.arange(30)[::-1]
    ax = dko.pl.effect(adata, kind="heatmap", n_genes=2, show=False)
    assert sorted(text.get_text() for text in ax.get_xticklabels()) == ["GENE0", "GENE29"]


@pytest.fixture(scope="module")
def _knocked_out(_fitted):
    return dko.tl.virtual_ko(_fitted, [SLASH, ("gene_4", "gene_3")], copy=True)


@pytest.fixture
def knocked_out(_knocked_out):
    return _knocked_out.copy()


def levels(ax):
    """Genes from the top down, and the places of dots before and after."""
    _, before, after = ax.collections
    genes = [label.get_text() for label in ax.get_yticklabels()]
    return genes, np.asarray(before.get_offsets()), np.asarray(after.get_offsets())


def naive(adata, label, cells, dense):
    """Mean shares of all other genes in cells that express the gene, cell by cell."""
    others = ~np.isin(adata.var_names, label.split("+"))
    profiles = (
        dense(dko.get.profiles(adata).layers["before"]),
        dense(adata.layers[f"dko_ko_{label.replace('/', '%2F')}"]),
    )
    rows = cells & dko.get.impact(adata, label)[label].notna().to_numpy()
    means = []
    for values in profiles:
        of_others = values[rows][:, others]
        means.append(np.mean([row / row.sum() for row in of_others], axis=0))
    return dict(zip(adata.var_names[others], zip(*means, strict=True), strict=True)), int(rows.sum())


@pytest.mark.parametrize(("label", "groups"), [(SLASH, None), ("gene_3+gene_4", {"cell_type": "CD4/CD8 T"})])
def test_means_before_and_after_of_the_genes_that_change_most(knocked_out, label, groups, dense):
    ax, beside = dko.pl.profile(knocked_out, label, groups=groups, n_genes=6, show=False)
    cells = np.ones(80, dtype=bool) if groups is None else (knocked_out.obs["cell_type"] == "CD4/CD8 T").to_numpy()
    means, n_cells = naive(knocked_out, label, cells, dense)
    assert ax.get_title() == f"{label} ({n_cells} cells)"
    genes, before, after = levels(ax)
    change = {gene: np.log1p(1e4 * b) - np.log1p(1e4 * a) for gene, (a, b) in means.items()}
    most = sorted(change, key=lambda gene: -abs(change[gene]))[:6]
    assert genes == sorted(most, key=lambda gene: -change[gene])
    np.testing.assert_allclose(np.column_stack([before[:, 0], after[:, 0]]), [means[gene] for gene in genes], rtol=1e-4)
    np.testing.assert_array_equal(before[:, 1], range(6))
    widths = [bar.get_width() for bar in beside.patches]
    np.testing.assert_allclose(widths, [100 * (means[g][1] / means[g][0] - 1) for g in genes], rtol=1e-2, atol=1e-3)
    colors = [to_hex(bar.get_facecolor()).upper() for bar in beside.patches]
    assert colors == ["#0072B2" if change[gene] < 0 else "#D55E00" for gene in genes]
    for panel in (ax, beside):
        bottom, top = panel.get_ylim()
        assert bottom > top, "what rises most is on top"
    assert ax.get_xscale() == "log"


def test_a_model_that_predicts_log_expression(perturbations, dense):
    dko.tl.virtual_ko(perturbations, "gene_3")
    ax, _ = dko.pl.profile(perturbations, "gene_3", n_genes=5, show=False)
    genes, before, after = levels(ax)
    rows = perturbations.obs["knockout"] == "control"
    counts = dense(perturbations[rows].X)
    values = (
        counts / counts.sum(axis=1, keepdims=True) * 1e4,
        np.expm1(dense(perturbations[rows].layers["dko_ko_gene_3"])),
    )
    others = perturbations.var_names != "gene_3"
    for drawn, found in zip((before, after), values, strict=True):
        shares = found[:, others] / found[:, others].sum(axis=1, keepdims=True)
        columns = perturbations.var_names[others].get_indexer(genes)
        np.testing.assert_allclose(drawn[:, 0], shares.mean(axis=0)[columns], rtol=1e-4)
