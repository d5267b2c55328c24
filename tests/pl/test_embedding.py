from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.colors import to_rgba
from matplotlib.quiver import Quiver, QuiverKey
from scipy import sparse

import dko


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


@pytest.mark.parametrize("n", [1, 5])
def test_a_panel_per_knockout_on_one_scale(scanned, n):
    genes = list(scanned.var_names[:n])
    figure = dko.pl.impact(scanned, genes, return_fig=True)
    *axes, bar = figure.axes
    assert len(dko.pl.impact(scanned, genes, colorbar_loc=None, return_fig=True).axes) == n
    table = dko.get.impact(scanned, genes)
    assert [ax.get_title() for ax in axes] == [f"{gene} ({table[gene].notna().sum()} cells)" for gene in genes]
    for ax in axes:
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("UMAP1", "UMAP2")
        assert points(ax)[3].get_clim() == (0.0, pytest.approx(float(np.nanmax(table))))
    assert bar.get_ylabel() == "impact (Bray-Curtis, 0 to 1)"
    assert len({round(ax.get_position().x0, 3) for ax in axes}) == min(n, 4)


def test_draws_named_knockouts_with_their_label(scanned):
    dko.tl.virtual_ko(scanned, [("HSPA1A/B", scanned.var_names[4])], profiles=False)
    label = dko.get.impact(scanned).columns[0]
    figure = dko.pl.impact(scanned, label, downstream=True, return_fig=True)
    largest = float(np.nanmax(dko.get.impact(scanned, label, downstream=True)))
    assert figure.axes[1].get_ylabel() == "downstream impact (Bray-Curtis, 0 to 1)"
    assert points(figure.axes[0])[3].get_clim() == (0.0, pytest.approx(largest))
    assert "+" in label and "/" in label
    ax = dko.pl.impact(scanned, label, show=False)
    assert ax.get_title().replace("\n", " ").startswith(f"{label} (")


@pytest.mark.parametrize("basis", ["pca", "spatial"])
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


def test_a_knockout_without_any_cell_is_all_grey(scanned):
    gene = scanned.var_names[3]
    dko.tl.virtual_ko(scanned, gene, profiles=False)
    without = scanned[np.isnan(scanned.obsm["dko_impact"][gene].to_numpy())]
    ax = dko.pl.impact(without, gene, show=False)
    assert np.isnan(points(ax)[1]).all()
    assert ax.get_title().endswith("(0 cells)")


def test_refusals_of_impacts(scanned):
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
    with pytest.raises(KeyError, match=r"No embedding 'tsne' in adata\.obsm; there are 'X_umap'\."):
        dko.pl.impact(scanned, two, basis="tsne")
    assert not plt.get_fignums()


@pytest.fixture
def shifted():
    """300 cells on a map, as dko.tl.identity_shift leaves them: every other is shifted, to the right or up."""
    rng = np.random.default_rng(0)
    adata = AnnData(sparse.csr_matrix((300, 2), dtype=np.float32))
    adata.obs["kind"] = pd.Categorical(np.where(np.arange(300) < 150, "T/NK", "B"))
    adata.obs["depth"] = rng.random(300)
    adata.obsm["X_umap"] = rng.normal(size=(300, 2)).astype(np.float32)
    for name, offset in {"A%2FB": [0.01, 0.0], "C": [0.0, 0.0002]}.items():
        offsets = np.tile(np.array(offset, dtype=np.float32), (300, 1))
        offsets[::2] = np.nan
        adata.obsm[f"dko_shift_umap_{name}"] = offsets
    return adata


def arrows(ax):
    (found,) = [drawn for drawn in ax.collections if isinstance(drawn, Quiver)]
    return found


def keys(ax):
    (found,) = [drawn for drawn in ax.artists if isinstance(drawn, QuiverKey)]
    return found


def test_arrows_start_at_their_cells_and_are_as_long_as_the_title_says(shifted):
    ax = dko.pl.shift(shifted, "A/B", show=False)
    drawn = arrows(ax)
    assert drawn.N == 150
    np.testing.assert_allclose(np.column_stack([drawn.X, drawn.Y]), shifted.obsm["X_umap"][1::2], rtol=1e-6)
    title = ax.get_title().replace("\n", " ")
    assert title.startswith("A/B (150 cells), shifts × ")
    factor = float(title.split("× ")[1])
    np.testing.assert_allclose(drawn.U / factor, 0.01, rtol=1e-5)
    np.testing.assert_allclose(drawn.V, 0, atol=1e-9)
    assert (drawn.angles, drawn.scale_units, drawn.scale) == ("xy", "xy", 1)
    extent = np.linalg.norm(np.ptp(shifted.obsm["X_umap"], axis=0))
    assert 0.03 < drawn.U[0] / extent <= 0.08
    length, unit = keys(ax).text.get_text().split()
    assert unit == "UMAP" and float(length) * factor == pytest.approx(keys(ax).U)


def test_a_panel_per_knockout_each_with_its_factor(shifted):
    first, second = dko.pl.shift(shifted, ["A/B", "C"], ncols=1, show=False)
    assert [ax.get_title().split(" ")[0] for ax in (first, second)] == ["A/B", "C"]
    factors = [float(ax.get_title().split("× ")[1]) for ax in (first, second)]
    assert factors == [50, 2000]
    np.testing.assert_allclose(arrows(first).U, 50 * 0.01, rtol=1e-5)
    np.testing.assert_allclose(arrows(second).V, 2000 * 0.0002, rtol=1e-5)


def test_few_arrows_are_the_same_for_the_same_seed(shifted):
    few = [arrows(dko.pl.shift(shifted, "C", n_arrows=20, rng=rng, show=False)) for rng in (0, 0, 1)]
    assert {found.N for found in few} == {20}
    np.testing.assert_array_equal(few[0].X, few[1].X)
    assert not np.array_equal(few[0].X, few[2].X)


def test_the_few_longest_arrows_are_cut(shifted):
    shifted.obsm["dko_shift_umap_C"][1] = 50.0
    drawn = arrows(dko.pl.shift(shifted, "C", show=False))
    lengths = np.hypot(drawn.U, drawn.V)
    np.testing.assert_allclose(lengths[1:], 2000 * 0.0002, rtol=1e-5)
    assert lengths[0] == pytest.approx(0.08 * np.linalg.norm(np.ptp(shifted.obsm["X_umap"], axis=0)))
    shifted.obsm["dko_shift_umap_C"][:] = 0
    assert dko.pl.shift(shifted, "C", show=False).get_title().endswith("shifts × 1")


@pytest.mark.parametrize("n", [1, 10, 100])
def test_arrows_of_a_grid_are_means_of_the_cells_in_a_square(shifted, n):
    rng = np.random.default_rng(1)
    shifted.obsm["dko_shift_umap_C"] = rng.normal(scale=1e-3, size=(300, 2))
    ax = dko.pl.shift(shifted, "C", kind="grid", n_arrows=n, show=False)
    drawn, factor = arrows(ax), float(ax.get_title().split("× ")[1])
    places, offsets = shifted.obsm["X_umap"].astype(float), shifted.obsm["dko_shift_umap_C"]
    assert 0 < drawn.N <= n
    if n == 1:
        np.testing.assert_allclose([drawn.X[0], drawn.Y[0]], places.mean(axis=0))
        np.testing.assert_allclose(np.array([drawn.U[0], drawn.V[0]]) / factor, offsets.mean(axis=0))
    for x, y in zip(drawn.X, drawn.Y, strict=True):
        near = np.abs(places - [x, y]).max(axis=1) < np.ptp(places, axis=0).max() / np.sqrt(n)
        assert near.sum() >= 2


def test_one_legend_for_all_panels(shifted):
    figure = dko.pl.shift(shifted, color="kind", return_fig=True)
    legends = [ax.get_legend() for ax in figure.axes]
    assert legends[0] is None
    assert [text.get_text() for text in legends[1].texts] == ["B", "T/NK"]


def test_colours_of_the_user_and_numbers(shifted):
    shifted.uns["kind_colors"] = ["#ff0000", "#0000ff"]
    ax = dko.pl.shift(shifted, "C", color="kind", show=False)
    cells = next(drawn for drawn in ax.collections if not isinstance(drawn, Quiver))
    colors = {tuple(color[:3]) for color in cells.get_facecolors()}
    assert colors == {(1.0, 0.0, 0.0), (0.0, 0.0, 1.0)}
    figure = dko.pl.shift(shifted, color="depth", return_fig=True)
    assert len(figure.axes) == 3 and figure.axes[2].get_ylabel() == "depth"
    own = plt.figure().add_subplot()
    assert dko.pl.shift(shifted, "C", ax=own, size=7, show=False) is own
    assert set(next(one for one in own.collections if not isinstance(one, Quiver)).get_sizes()) == {7}


def test_after_the_tool_and_on_its_basis(scanned):
    scanned.obsm["X_other"] = scanned.obsm["X_umap"][:, ::-1].copy()
    dko.tl.identity_shift(scanned, "gene_3", basis="other", n_neighbors=5)
    ax = dko.pl.shift(scanned, basis="X_other", show=False)
    assert arrows(ax).N == (scanned[:, "gene_3"].X.toarray() > 0).sum()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("other1", "other2")
    with pytest.raises(KeyError, match="No shifts on 'umap' under key 'dko'; run dko.tl.identity_shift"):
        dko.pl.shift(scanned)


def test_refusals_of_shifts(shifted):
    with pytest.raises(ValueError, match="kind='stream' must be 'quiver' or 'grid'"):
        dko.pl.shift(shifted, kind="stream")
    with pytest.raises(ValueError, match="n_arrows=0 must be at least 1"):
        dko.pl.shift(shifted, n_arrows=0)
    with pytest.raises(KeyError, match="No knockout 'D' in the shifts on 'umap'"):
        dko.pl.shift(shifted, ["C", "D"])
    with pytest.raises(KeyError, match="No column 'kin' in adata.obs. Did you mean 'kind'"):
        dko.pl.shift(shifted, color="kin")
    with pytest.raises(KeyError, match="No embedding 'tsne'"):
        dko.pl.shift(shifted, basis="tsne")
    ax = plt.figure().add_subplot()
    with pytest.raises(ValueError, match="room for one panel, but there are 2, one per knockout"):
        dko.pl.shift(shifted, ax=ax)
    plt.close("all")
    assert not plt.get_fignums()


@pytest.mark.parametrize("dtype", ["bool", "boolean"])
def test_true_and_false_are_names(shifted, dtype):
    shifted.obs["kind_is_b"] = (shifted.obs["kind"] == "B").astype(dtype)
    figure = dko.pl.shift(shifted, color="kind_is_b", return_fig=True)
    assert len(figure.axes) == 2
    assert [text.get_text() for text in figure.axes[1].get_legend().texts] == ["False", "True"]
