from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba

import dko

# scanpy colours missing values in a way that matplotlib 3.11 announces to deprecate.


def points(ax):
    """The drawn cells: coordinates, values (NaN where masked) and colours, from the bottom up."""
    drawn = next(found for found in ax.collections if found.get_array() is not None)
    ax.figure.draw_without_rendering()
    return drawn.get_offsets(), np.ma.filled(drawn.get_array().astype(float), np.nan), drawn.get_facecolors(), drawn


def test_values_sit_on_their_cells_with_grey_cells_beneath(scanned):
    gene = scanned.var_names[3]
    expected = dko.get.impact(scanned, gene)[gene].to_numpy()
    assert 0 < np.isnan(expected).sum() < len(expected)
    where, values, colors, _ = points(dko.pl.impact(scanned, gene, show=False))
    order = np.array([np.flatnonzero((scanned.obsm["X_umap"] == at).all(axis=1))[0] for at in np.asarray(where)])
    np.testing.assert_array_equal(values, expected[order])
    n_grey = np.isnan(expected).sum()
    assert np.isnan(values[:n_grey]).all(), "drawn first, so beneath"
    assert (np.diff(values[n_grey:]) >= 0).all()
    np.testing.assert_allclose(colors[:n_grey], np.tile(to_rgba("lightgray"), (n_grey, 1)))
    assert not np.isclose(colors[n_grey:], to_rgba("lightgray")).all(axis=1).any()


@pytest.mark.parametrize("n", [1, 4, 7])
def test_a_panel_per_knockout_on_one_scale(scanned, n):
    genes = list(scanned.var_names[:n])
    figure = dko.pl.impact(scanned, genes, return_fig=True)
    *axes, bar = figure.axes
    table = dko.get.impact(scanned, genes)
    assert [ax.get_title() for ax in axes] == [f"{gene} ({table[gene].notna().sum()} cells)" for gene in genes]
    for ax in axes:
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("UMAP1", "UMAP2")
        assert points(ax)[3].get_clim() == (0.0, pytest.approx(float(np.nanmax(table))))
    assert bar.get_ylabel() == "impact (Bray-Curtis, 0 to 1)"
    assert len({round(ax.get_position().x0, 3) for ax in axes}) == min(n, 4)


def test_downstream_impacts(scanned):
    gene = scanned.var_names[3]
    figure = dko.pl.impact(scanned, gene, downstream=True, return_fig=True)
    ax, bar = figure.axes
    assert bar.get_ylabel() == "downstream impact (Bray-Curtis, 0 to 1)"
    largest = dko.get.impact(scanned, gene, downstream=True).to_numpy()
    assert points(ax)[3].get_clim() == (0.0, pytest.approx(float(np.nanmax(largest))))


def test_several_panels_come_as_a_list_in_the_order_asked(scanned):
    genes = [scanned.var_names[5], scanned.var_names[2]]
    axes = dko.pl.impact(scanned, genes, show=False)
    assert [ax.get_title().split(" ")[0] for ax in axes] == genes


def test_draws_named_knockouts_with_their_label(scanned):
    dko.tl.virtual_ko(scanned, [("HSPA1A/B", scanned.var_names[4])], profiles=False)
    label = dko.get.impact(scanned).columns[0]
    assert "+" in label and "/" in label
    ax = dko.pl.impact(scanned, label, show=False)
    assert ax.get_title().replace("\n", " ").startswith(f"{label} (")


@pytest.mark.parametrize("basis", ["pca", "X_pca", "spatial"])
def test_any_embedding(scanned, basis):
    name = "spatial" if basis == "spatial" else "X_pca"
    scanned.obsm[name] = np.random.default_rng(1).normal(size=(scanned.n_obs, 3))
    where = points(dko.pl.impact(scanned, scanned.var_names[0], basis=basis, show=False))[0]
    assert {tuple(at) for at in np.asarray(where)} == {tuple(at) for at in scanned.obsm[name][:, :2]}


def test_keywords_reach_scanpy(scanned):
    ax = dko.pl.impact(
        scanned, scanned.var_names[3], cmap="magma", vmax=0.5, size=7, na_color="red", title="mine", show=False
    )
    _, values, colors, drawn = points(ax)
    assert drawn.get_cmap().name == "magma"
    assert drawn.get_clim() == (0.0, 0.5)
    assert set(drawn.get_sizes()) == {7}
    assert ax.get_title() == "mine"
    np.testing.assert_allclose(colors[np.isnan(values)], np.tile(to_rgba("red"), (np.isnan(values).sum(), 1)))


def test_the_bar_can_be_left_out(scanned):
    figure = dko.pl.impact(scanned, list(scanned.var_names[:2]), colorbar_loc=None, return_fig=True)
    assert len(figure.axes) == 2


def test_a_knockout_without_any_cell_is_all_grey(scanned):
    gene = scanned.var_names[3]
    dko.tl.virtual_ko(scanned, gene, profiles=False)
    without = scanned[np.isnan(scanned.obsm["dko_impact"][gene].to_numpy())]
    ax = dko.pl.impact(without, gene, show=False)
    assert np.isnan(points(ax)[1]).all()
    assert ax.get_title().endswith("(0 cells)")


def test_names_the_embeddings_that_there_are(scanned):
    with pytest.raises(KeyError, match=r"No embedding 'tsne' in adata\.obsm; there are 'X_umap'\."):
        dko.pl.impact(scanned, scanned.var_names[0], basis="tsne")
    del scanned.obsm["X_umap"]
    with pytest.raises(KeyError, match=r"there is none; run sc\.tl\.umap\(adata\) first"):
        dko.pl.impact(scanned, scanned.var_names[0])


def test_refusals_are_one_sentence_and_leave_no_figure(scanned):
    two = list(scanned.var_names[:2])
    ax = plt.figure().add_subplot()
    with pytest.raises(ValueError, match="room for one panel, but there are 2, one per knockout"):
        dko.pl.impact(scanned, two, ax=ax)
    plt.close("all")
    with pytest.raises(ValueError, match="genes names no gene"):
        dko.pl.impact(scanned, [])
    with pytest.raises(ValueError, match="one entry per knockout .2., got 1"):
        dko.pl.impact(scanned, two, title="one")
    with pytest.raises(ValueError, match="must be numbers"):
        dko.pl.impact(scanned, two, vmax="p99")
    with pytest.raises(KeyError, match="No knockout 'nonsense'"):
        dko.pl.impact(scanned, "nonsense")
    assert not plt.get_fignums()
