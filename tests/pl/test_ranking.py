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
    with pytest.raises(ValueError, match="No gene to rank"):
        dko.pl.ranking(scanned[:5])
    with pytest.raises(KeyError, match="No column 'celltype'"):
        dko.pl.ranking(scanned, groupby="celltype")
    assert not plt.get_fignums()
    ax = plt.figure().add_subplot()
    with pytest.raises(ValueError, match="room for one panel, but there are 2, one per group"):
        dko.pl.ranking(scanned_by_group, ax=ax)
