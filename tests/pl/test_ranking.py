from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

import dko


def read(ax):
    """Genes from the top down, and the coordinates and areas of dots and ticks."""
    dots, ticks = ax.collections[1:]
    genes = [label.get_text() for label in ax.get_yticklabels()]
    return genes, np.asarray(dots.get_offsets()), dots.get_sizes(), np.asarray(ticks.get_offsets())


def assert_shows(ax, table):
    genes, dots, areas, ticks = read(ax)
    assert genes == table["gene"].to_list()
    np.testing.assert_allclose(dots[:, 0], table["impact_mean"])
    np.testing.assert_allclose(ticks[:, 0], table["expression_mean"])
    np.testing.assert_allclose(areas / areas.max(), table["fraction"] / table["fraction"].max())
    np.testing.assert_array_equal(dots[:, 1], range(len(table)))
    bottom, top = ax.get_ylim()
    assert bottom > top, "the best gene is on top"
    left, right = ax.get_xlim()
    assert left == 0 and right >= max(dots[:, 0].max(), ticks[:, 0].max())


@pytest.mark.parametrize("n_genes", [1, 5, 100])
def test_the_best_genes_with_their_expression(scanned, n_genes):
    ax = dko.pl.ranking(scanned, n_genes=n_genes, show=False)
    assert_shows(ax, dko.get.ranking(scanned).head(n_genes))
    assert ax.get_xlabel() == "mean impact (Bray-Curtis, 0 to 1)"
    assert ax.get_legend().texts[-1].get_text() == "share of expression"


def test_a_panel_per_group_on_one_scale(scanned_by_group):
    axes = dko.pl.ranking(scanned_by_group, n_genes=4, show=False)
    table = dko.get.ranking(scanned_by_group)
    assert [ax.get_title() for ax in axes] == ["B", "CD4/CD8 T"]
    for ax in axes:
        assert_shows(ax, table[table["group"] == ax.get_title()].head(4))
    assert axes[0].get_xlim() == axes[1].get_xlim()
    figure = axes[0].figure
    assert figure.get_supxlabel() == "mean impact (Bray-Curtis, 0 to 1)"
    figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    assert figure.bbox.x0 <= legend.x0 and legend.x1 <= figure.bbox.x1, "not cut off"


@pytest.fixture
def ranked(scanned):
    """Ranked with intervals; half of the genes have no signal."""
    dko.tl.rank_genes(scanned, n_permutations=20, n_bootstraps=20)
    table = scanned.uns["dko_ranking"]["table"]
    table["pval_adj"] = np.where(np.arange(len(table)) % 2, 0.5, 0.01)
    return scanned


@pytest.mark.parametrize(("value", "ends"), [("impact_beyond", "beyond"), ("impact_mean", "impact")])
def test_intervals_and_hollow_dots_after_rank_genes(ranked, value, ends):
    ax = dko.pl.ranking(ranked, n_genes=6, value=value, show=False)
    table = dko.get.ranking(ranked).sort_values(value, ascending=False, kind="stable").head(6)
    assert [label.get_text() for label in ax.get_yticklabels()] == table["gene"].to_list()
    bars, dots, *ticks = ax.collections
    drawn = np.array([segment[:, 0] for segment in bars.get_segments()])
    np.testing.assert_allclose(drawn, table[[f"{ends}_low", f"{ends}_high"]])
    np.testing.assert_allclose(np.asarray(dots.get_offsets())[:, 0], table[value])
    hollow = (dots.get_facecolors()[:, :3] == 1).all(axis=1)
    np.testing.assert_array_equal(hollow, table["pval_adj"] > 0.05)
    assert len(ticks) == (value == "impact_mean"), "the share says nothing of what is beyond it"
    left, right = ax.get_xlim()
    assert left <= min(0, drawn.min()) and right >= drawn.max()
    labels = [text.get_text() for text in ax.get_legend().texts]
    assert labels[-1 - len(ticks)] == "95 % interval"
    assert ("FDR > 0.05" in labels) == hollow.any() and ("FDR ≤ 0.05" in labels) == (~hollow).any()


def test_what_the_ranking_has_first_by_default(ranked):
    ax = dko.pl.ranking(ranked, n_genes=4, show=False)
    assert [label.get_text() for label in ax.get_yticklabels()] == dko.get.ranking(ranked)["gene"].head(4).to_list()
    assert ax.get_xlabel() == "mean impact beyond expression (Bray-Curtis)"


def test_intervals_of_each_group_on_their_own_scale(ranked):
    dko.tl.rank_genes(ranked, groupby="cell_type", n_permutations=20, n_bootstraps=20, key_added="by_type")
    table = ranked.uns["by_type"]["table"]
    table.loc[table["group"] == "B", ["impact_beyond", "beyond_low", "beyond_high"]] *= 10
    first, second = dko.pl.ranking(ranked, groupby="cell_type", key_added="by_type", show=False)
    assert (first.get_title(), second.get_title()) == ("B", "CD4/CD8 T")
    assert first.get_xlim()[1] > 2 * second.get_xlim()[1]
    assert all(label.get_visible() for ax in (first, second) for label in ax.get_xticklabels())


def test_the_groups_of_the_ranking_by_default(scanned):
    dko.tl.rank_genes(scanned, groupby="cell_type", n_permutations=20, n_bootstraps=20)
    assert [ax.get_title() for ax in dko.pl.ranking(scanned, show=False)] == ["B", "CD4/CD8 T"]
    with pytest.raises(KeyError, match=r"No ranking in adata.uns\['typo'\]"):
        dko.pl.ranking(scanned, key_added="typo")


def test_every_column_of_panels_has_numbers_below(scanned):
    scanned.obs["many"] = [str(number % 5) for number in range(scanned.n_obs)]
    axes = dko.pl.ranking(scanned, groupby="many", n_genes=2, show=False)
    assert len(axes) == len(axes[0].figure.axes) == 5
    axes[0].figure.draw_without_rendering()
    numbered = [any(label.get_visible() for label in ax.get_xticklabels()) for ax in axes]
    assert numbered == [False, True, True, True, True]


def test_refusals(scanned, scanned_by_group):
    with pytest.raises(ValueError, match="n_genes must be at least 1, got 0"):
        dko.pl.ranking(scanned, n_genes=0)
    with pytest.raises(ValueError, match="value='impact_beyond' is not in the ranking; run dko.tl.rank_genes"):
        dko.pl.ranking(scanned, value="impact_beyond")
    with pytest.raises(ValueError, match="value='size' must be one of 'impact_beyond', 'impact_mean'"):
        dko.pl.ranking(scanned, value="size")
    with pytest.raises(ValueError, match="No gene to rank"):
        dko.pl.ranking(scanned[:5])
    with pytest.raises(KeyError, match="No column 'celltype'"):
        dko.pl.ranking(scanned, groupby="celltype")
    assert not plt.get_fignums()
    ax = plt.figure().add_subplot()
    with pytest.raises(ValueError, match="room for one panel, but there are 2, one per group"):
        dko.pl.ranking(scanned_by_group, ax=ax)
