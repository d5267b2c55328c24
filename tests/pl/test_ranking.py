from __future__ import annotations

import numpy as np
import pytest

import dko

from ..conftest import copy_of


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


@pytest.mark.parametrize("n_genes", [1, 100])
def test_the_best_genes(scanned, n_genes):
    ax = dko.pl.ranking(scanned, n_genes=n_genes, show=False)
    assert_shows(ax, dko.get.ranking(scanned).head(n_genes))
    assert ax.get_xlabel() == "mean downstream impact (Bray-Curtis, 0 to 1)"


def test_a_ranking_of_version_0_1_0(ranked):
    table = ranked.uns["dko_ranking"]["table"]
    ranked.uns["dko_ranking"]["table"] = table.drop(columns=[name for name in table if "downstream" in name])
    assert_shows(dko.pl.ranking(ranked, show=False), dko.get.ranking(ranked).head(10), "impact_mean")


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
    assert ("may be chance (FDR > 0.05)" in labels) == hollow.any()
    assert ("above chance (FDR ≤ 0.05)" in labels) == (~hollow).any()


def test_groups_are_drawn_on_one_scale(by_type):
    figure = dko.pl.ranking(by_type, groupby="type", return_fig=True)
    assert len({ax.get_xlim() for ax in figure.axes}) == 1 and len(figure.axes) == 3
    apart = dko.pl.ranking(by_type, groupby="type", sharex=False, return_fig=True)
    assert len({ax.get_xlim() for ax in apart.axes}) == 3


@pytest.fixture(scope="module")
def _by_type(_scanned):
    adata = _scanned.copy()
    adata.obs["type"] = np.array(["B", "CD4/CD8 T", "NK"])[np.arange(adata.n_obs) % 3]
    dko.tl.rank_genes(adata, groupby="type", n_bootstraps=20, min_cells=5)
    return adata


by_type = copy_of("by_type")


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


def test_similar_genes_stand_side_by_side_whatever_their_size_and_few_values_do_not_set_the_scale(by_type):
    """Rows B and NK, and genes 2, 4, 6 and 3, 5, 7, are similar but for their size."""
    table = by_type.uns["dko_ranking"]["table"]
    number = table["gene"].str.extract(r"_(\d)$")[0].astype(float)
    kind = (number % 2).eq(0) == table["group"].isin(["B", "NK"])
    table["downstream_mean"] = np.where(kind, 1.0, 1e-3) * np.where(table["group"] == "NK", 10, 1) * (1 + number / 1e3)
    ax = dko.pl.heatmap(by_type, [f"gene_{i}" for i in range(2, 8)], show=False)
    rows, columns, values = drawn(ax)
    assert rows.index("CD4/CD8 T") in (0, 2) and len({name[-1] in "246" for name in columns[:3]}) == 1
    assert ax.images[0].norm.vmax < values.max() and ax.images[0].colorbar.extend == "max"
    table.loc[(table["gene"] == "gene_2") & (table["group"] == "B"), "downstream_mean"] = np.nan
    ax = dko.pl.heatmap(by_type, ["gene_2", "gene_3"], show=False)
    assert np.ma.getmaskarray(ax.images[0].get_array()).sum() == 1 and len(ax.child_axes) == 2, "no tree of two genes"


def test_the_best_genes_of_each_group_those_with_signal_first(by_type):
    table = by_type.uns["dko_ranking"]["table"]
    table["pval_adj"] = np.where(table["gene"].isin(["gene_7", "gene_9"]), 0.01, 0.5)
    *_, columns, _ = drawn(dko.pl.heatmap(by_type, n_genes=2, show=False))
    assert sorted(columns) == ["gene_7", "gene_9"]
    *_, columns, _ = drawn(dko.pl.heatmap(by_type, n_genes=3, show=False))
    others = table[~table["gene"].isin(["gene_7", "gene_9"])]
    best = others.sort_values("downstream_mean", ascending=False).groupby("group", observed=True).head(1)["gene"]
    assert set(columns) == {"gene_7", "gene_9", *best}


def test_area_of_a_dot_is_the_fraction_of_cells_and_a_hollow_one_may_be_chance(by_type):
    table = by_type.uns["dko_ranking"]["table"]
    chance = (table["gene"] == "gene_5") & (table["group"] != "NK")
    table["pval_adj"] = np.where(chance, 0.5, 0.01)
    table.drop(table.index[(table["gene"] == "gene_3") & (table["group"] == "B")], inplace=True)
    figure = dko.pl.heatmap(by_type, ["gene_2", "gene_3", "gene_5"], kind="dots", return_fig=True)
    ax = figure.axes[0]
    rows, columns = ([text.get_text() for text in labels] for labels in (ax.get_yticklabels(), ax.get_xticklabels()))
    dots, values = (
        ax.collections[0],
        [expected(by_type, rows, columns, name) for name in ("downstream_mean", "fraction")],
    )
    areas = np.nan_to_num(values[1]).ravel()
    np.testing.assert_allclose(dots.get_sizes() / dots.get_sizes().max(), areas / areas.max())
    np.testing.assert_allclose(np.ma.filled(dots.get_array().astype(float), np.nan), values[0].ravel())
    assert (areas == 0).sum() == 1
    np.testing.assert_array_equal(dots.get_offsets(), [(x, y) for y in range(3) for x in range(3)])
    middles = ax.collections[1]
    assert (middles.get_facecolors() == 1).all()
    hollow = {(columns[int(x)], rows[int(y)]) for x, y in middles.get_offsets()}
    assert hollow == {("gene_5", group) for group in ("B", "CD4/CD8 T")}
    assert figure.legends[0].texts[-1].get_text() == "may be chance (FDR > 0.05)"
    table["pval_adj"] = 0.01
    assert len(dko.pl.heatmap(by_type, kind="dots", return_fig=True).legends[0].texts) == 3


def test_grey_and_the_point_of_the_bar_are_explained(by_type):
    table = by_type.uns["dko_ranking"]["table"]
    genes = ["gene_2", "gene_3"]
    ax = dko.pl.heatmap(by_type, genes, vmax=1, show=False)
    assert ax.get_xlabel() == ""
    table.loc[(table["gene"] == "gene_2") & (table["group"] == "B"), "downstream_mean"] = np.nan
    ax = dko.pl.heatmap(by_type, genes, vmax=0, show=False)
    assert (
        ax.get_xlabel() == "grey: too few cells of the group express the gene; pointed end of the bar: beyond its scale"
    )


def test_only_the_groups_that_are_asked_for(ranked):
    by: dict = {"groupby": "cell_type"}
    table = dko.get.ranking(ranked, **by)
    wanted = [str(group) for group in table["group"].unique()[:2][::-1]]
    axes = dko.pl.ranking(ranked, **by, group=wanted, show=False)
    assert [ax.get_title() for ax in axes] == wanted
    alone = dko.pl.ranking(ranked, **by, group=wanted[0], n_genes=3, show=False)
    assert [label.get_text() for label in alone.get_yticklabels()] == table.loc[
        table["group"] == wanted[0], "gene"
    ].head(3).to_list()
    with pytest.raises(KeyError, match="No group with genes 'b' in the ranking"):
        dko.pl.ranking(ranked, **by, group="b")
    with pytest.raises(ValueError, match="over all cells"):
        dko.pl.ranking(ranked, group="B")
    rows, *_ = drawn(dko.pl.heatmap(ranked, **by, group=wanted, dendrogram=False, show=False))
    assert rows == wanted
    with pytest.raises(KeyError, match="No group with genes 'nope'"):
        dko.pl.heatmap(ranked, **by, group="nope", show=False)
