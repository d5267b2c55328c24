from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

import dko


def read(ax):
    """Genes from the top down, and the coordinates and areas of dots and ticks."""
    dots, *ticks = ax.collections[1:]
    genes = [label.get_text() for label in ax.get_yticklabels()]
    return genes, np.asarray(dots.get_offsets()), dots.get_sizes(), [np.asarray(one.get_offsets()) for one in ticks]


def assert_shows(ax, table, value="downstream_mean"):
    genes, dots, areas, ticks = read(ax)
    assert genes == table["gene"].to_list()
    np.testing.assert_allclose(dots[:, 0], table[value])
    assert len(ticks) == (value == "impact_mean"), "the share says nothing of other genes"
    for shares in ticks:
        np.testing.assert_allclose(shares[:, 0], table["expression_mean"])
    np.testing.assert_allclose(areas / areas.max(), table["fraction"] / table["fraction"].max())
    np.testing.assert_array_equal(dots[:, 1], range(len(table)))
    bottom, top = ax.get_ylim()
    assert bottom > top, "the best gene is on top"
    left, right = ax.get_xlim()
    assert left == 0 and right >= max(part[:, 0].max() for part in (dots, *ticks))


@pytest.mark.parametrize("n_genes", [1, 5, 100])
def test_the_best_genes(scanned, n_genes):
    ax = dko.pl.ranking(scanned, n_genes=n_genes, show=False)
    assert_shows(ax, dko.get.ranking(scanned).head(n_genes))
    assert ax.get_xlabel() == "mean downstream impact (Bray-Curtis, 0 to 1)"


def test_impacts_have_the_share_of_the_gene_beside_them_and_no_rate(ranked):
    ax = dko.pl.ranking(ranked, n_genes=6, value="impact_mean", show=False)
    table = dko.get.ranking(ranked).sort_values("impact_mean", ascending=False, kind="stable").head(6)
    assert_shows(ax, table, "impact_mean")
    assert (ax.collections[1].get_facecolors()[:, :3] != 1).any(axis=1).all()
    labels = [text.get_text() for text in ax.get_legend().texts]
    assert labels[-1] == "share of expression" and not any("FDR" in label for label in labels)


def test_hollow_by_the_rate_of_the_fit_without_a_ranking(cells):
    dko.tl.fit(cells, effects="total", max_epochs=1, progress=False)
    dko.tl.scan(cells)
    ax = dko.pl.ranking(cells, n_genes=20, show=False)
    table = dko.get.ranking(cells)
    hollow = (ax.collections[1].get_facecolors()[:, :3] == 1).all(axis=1)
    np.testing.assert_array_equal(hollow, table["signal"] > 0.05)
    assert "FDR > 0.05" in [text.get_text() for text in ax.get_legend().texts]


def test_a_ranking_of_version_0_1_0(ranked):
    table = ranked.uns["dko_ranking"]["table"]
    ranked.uns["dko_ranking"]["table"] = table.drop(columns=[name for name in table if "downstream" in name])
    assert_shows(dko.pl.ranking(ranked, show=False), dko.get.ranking(ranked).head(10), "impact_mean")


def test_a_panel_per_group_on_one_scale(scanned_by_group):
    axes = dko.pl.ranking(scanned_by_group, n_genes=4, show=False)
    table = dko.get.ranking(scanned_by_group)
    assert [ax.get_title() for ax in axes] == ["B", "CD4/CD8 T"]
    for ax in axes:
        assert_shows(ax, table[table["group"] == ax.get_title()].head(4))
    assert axes[0].get_xlim() == axes[1].get_xlim()
    figure = axes[0].figure
    assert figure.get_supxlabel() == "mean downstream impact (Bray-Curtis, 0 to 1)"
    figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    assert figure.bbox.x0 <= legend.x0 and legend.x1 <= figure.bbox.x1, "not cut off"


@pytest.fixture
def ranked(scanned):
    """Ranked with intervals; half of the genes have no signal."""
    dko.tl.rank_genes(scanned, n_bootstraps=20)
    table = scanned.uns["dko_ranking"]["table"]
    table["pval_adj"] = np.where(np.arange(len(table)) % 2, 0.5, 0.01)
    return scanned


def test_intervals_and_hollow_dots_after_rank_genes(ranked):
    ax = dko.pl.ranking(ranked, n_genes=6, value="downstream_mean", show=False)
    table = dko.get.ranking(ranked).sort_values("downstream_mean", ascending=False, kind="stable").head(6)
    assert [label.get_text() for label in ax.get_yticklabels()] == table["gene"].to_list()
    bars, dots = ax.collections
    drawn = np.array([segment[:, 0] for segment in bars.get_segments()])
    np.testing.assert_allclose(drawn, table[["downstream_low", "downstream_high"]])
    np.testing.assert_allclose(np.asarray(dots.get_offsets())[:, 0], table["downstream_mean"])
    hollow = (dots.get_facecolors()[:, :3] == 1).all(axis=1)
    np.testing.assert_array_equal(hollow, table["pval_adj"] > 0.05)
    left, right = ax.get_xlim()
    assert left == 0 and right >= drawn.max()
    labels = [text.get_text() for text in ax.get_legend().texts]
    assert labels[-1] == "95 % interval"
    assert ("FDR > 0.05" in labels) == hollow.any() and ("FDR ≤ 0.05" in labels) == (~hollow).any()


def test_intervals_of_each_group_on_their_own_scale(ranked):
    dko.tl.rank_genes(ranked, groupby="cell_type", n_bootstraps=20, key_added="by_type")
    table = ranked.uns["by_type"]["table"]
    table.loc[table["group"] == "B", ["downstream_mean", "downstream_low", "downstream_high"]] *= 10
    first, second = dko.pl.ranking(ranked, groupby="cell_type", key_added="by_type", show=False)
    assert (first.get_title(), second.get_title()) == ("B", "CD4/CD8 T")
    assert first.get_xlim()[1] > 2 * second.get_xlim()[1]
    assert all(label.get_visible() for ax in (first, second) for label in ax.get_xticklabels())


def test_every_column_of_panels_has_numbers_below(scanned):
    scanned.obs["many"] = [str(number % 5) for number in range(scanned.n_obs)]
    axes = dko.pl.ranking(scanned, groupby="many", n_genes=2, show=False)
    assert len(axes) == len(axes[0].figure.axes) == 5
    axes[0].figure.draw_without_rendering()
    numbered = [any(label.get_visible() for label in ax.get_xticklabels()) for ax in axes]
    assert numbered == [False, True, True, True, True]


def test_refusals_of_rankings(scanned, scanned_by_group):
    with pytest.raises(ValueError, match="n_genes must be at least 1, got 0"):
        dko.pl.ranking(scanned, n_genes=0)
    with pytest.raises(ValueError, match="value='downstream_mean' is not in the ranking; run dko.tl.scan"):
        dko.pl.ranking(dko.tl.scan(scanned, downstream=False, copy=True), value="downstream_mean")
    with pytest.raises(ValueError, match="value='size' must be one of 'downstream_mean', 'impact_mean'"):
        dko.pl.ranking(scanned, value="size")
    with pytest.raises(ValueError, match="No gene to rank"):
        dko.pl.ranking(scanned[:5])
    with pytest.raises(KeyError, match="No column 'celltype'"):
        dko.pl.ranking(scanned, groupby="celltype")
    assert not plt.get_fignums()
    ax = plt.figure().add_subplot()
    with pytest.raises(ValueError, match="room for one panel, but there are 2, one per group"):
        dko.pl.ranking(scanned_by_group, ax=ax)


@pytest.fixture(scope="module")
def _by_type(_scanned):
    adata = _scanned.copy()
    adata.obs["type"] = np.array(["B", "CD4/CD8 T", "NK"])[np.arange(adata.n_obs) % 3]
    dko.tl.rank_genes(adata, groupby="type", n_bootstraps=20, min_cells=5)
    return adata


@pytest.fixture
def by_type(_by_type):
    return _by_type.copy()


def drawn(ax):
    """Names of rows and columns, and the values."""
    rows, columns = ([text.get_text() for text in labels] for labels in (ax.get_yticklabels(), ax.get_xticklabels()))
    return rows, columns, np.ma.filled(ax.images[0].get_array().astype(float), np.nan)


def expected(adata, rows, columns, value, **kwargs):
    table = dko.get.ranking(adata, **kwargs).astype({"group": str})
    return table.pivot(index="group", columns="gene", values=value).loc[rows, columns].to_numpy(dtype=float)


@pytest.mark.parametrize("value", ["downstream_mean", "impact_mean", "specificity", "fraction"])
def test_values_of_the_ranking_in_their_places(by_type, value):
    ax = dko.pl.heatmap(by_type, value=value, n_genes=3, show=False)
    rows, columns, values = drawn(ax)
    assert sorted(rows) == ["B", "CD4/CD8 T", "NK"]
    np.testing.assert_allclose(values, expected(by_type, rows, columns, value, groupby="type"))
    signed = value == "specificity"
    assert (ax.images[0].norm.vmin < 0) == signed
    assert all(text.get_style() == "italic" for text in ax.get_xticklabels())
    assert all(text.get_style() == "normal" for text in ax.get_yticklabels())


def test_the_best_genes_of_each_group_those_with_signal_first(by_type):
    table = by_type.uns["dko_ranking"]["table"]
    table["pval_adj"] = np.where(table["gene"].isin(["gene_7", "gene_9"]), 0.01, 0.5)
    *_, columns, _ = drawn(dko.pl.heatmap(by_type, n_genes=2, show=False))
    assert sorted(columns) == ["gene_7", "gene_9"]
    *_, columns, _ = drawn(dko.pl.heatmap(by_type, n_genes=3, show=False))
    others = table[~table["gene"].isin(["gene_7", "gene_9"])]
    best = others.sort_values("downstream_mean", ascending=False).groupby("group", observed=True).head(1)["gene"]
    assert set(columns) == {"gene_7", "gene_9", *best}


def test_genes_that_are_named_in_their_order(by_type):
    genes = ["gene_9", "HSPA1A/B", "gene_4"]
    rows, columns, _ = drawn(dko.pl.heatmap(by_type, genes, dendrogram=False, show=False))
    assert columns == genes and rows == ["B", "CD4/CD8 T", "NK"]


def test_a_scan_without_ranking_and_the_groups_of_the_fit(scanned_by_group):
    ax = dko.pl.heatmap(scanned_by_group, n_genes=4, show=False)
    rows, columns, values = drawn(ax)
    assert sorted(rows) == ["B", "CD4/CD8 T"]
    np.testing.assert_allclose(values, expected(scanned_by_group, rows, columns, "downstream_mean"))
    assert ax.child_axes[-1].get_ylabel() == "mean downstream impact\n(Bray-Curtis, 0 to 1)"


def test_keywords_and_axes_of_the_user(by_type):
    own = plt.figure().add_subplot()
    assert dko.pl.heatmap(by_type, value="impact_mean", ax=own, vmax=0.5, cmap="cividis", show=False) is own
    assert own.images[0].norm.vmax == 0.5 and own.images[0].get_cmap().name == "cividis"


def test_refusals_of_heatmaps(scanned, by_type):
    with pytest.raises(ValueError, match=r"groups of cells; name the obs column that has them, groupby="):
        dko.pl.heatmap(scanned)
    with pytest.raises(
        ValueError, match="value='specificity' is not in the ranking; run dko.tl.scan, and dko.tl.rank_genes"
    ):
        dko.pl.heatmap(scanned, groupby="cell_type", value="specificity")
    with pytest.raises(ValueError, match="value='size' must be one of 'downstream_mean', 'impact_mean'"):
        dko.pl.heatmap(by_type, value="size")
    with pytest.raises(KeyError, match="No gene 'gene_99' in the ranking. Did you mean"):
        dko.pl.heatmap(by_type, ["gene_2", "gene_99"])
    with pytest.raises(KeyError, match="No column 'celltype'"):
        dko.pl.heatmap(scanned, groupby="celltype")
    with pytest.raises(ValueError, match="n_genes must be at least 1, got 0"):
        dko.pl.heatmap(by_type, n_genes=0)
    with pytest.raises(ValueError, match="No gene to draw"):
        dko.pl.heatmap(scanned[:5], groupby="cell_type")
    assert not plt.get_fignums()
