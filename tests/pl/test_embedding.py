from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.colors import to_hex, to_rgba
from matplotlib.quiver import Quiver, QuiverKey
from scipy import sparse

import dko

from .conftest import GENES


def points(ax):
    """The drawn cells: coordinates, values (NaN where masked) and colours, from the bottom up."""
    drawn = next(found for found in ax.collections if found.get_array() is not None)
    ax.figure.draw_without_rendering()
    return drawn.get_offsets(), np.ma.filled(drawn.get_array().astype(float), np.nan), drawn.get_facecolors(), drawn


def test_what_scanpy_calls_that_matplotlib_will_drop_warns_nobody(scanned):
    with warnings.catch_warnings():
        warnings.simplefilter("error", PendingDeprecationWarning)
        assert dko.pl.impact(scanned, GENES[0], show=False)


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


def test_arrows_start_at_their_cells_and_the_one_below_says_their_length(shifted):
    ax = dko.pl.shift(shifted, "A/B", show=False)
    drawn = arrows(ax)
    assert drawn.N == 150 and ax.get_title() == "A/B (150 cells)"
    np.testing.assert_allclose(np.column_stack([drawn.X, drawn.Y]), shifted.obsm["X_umap"][1::2], rtol=1e-6)
    np.testing.assert_allclose(np.column_stack([drawn.U, drawn.V]), [[0.01, 0.0]] * 150, rtol=1e-5)
    assert (drawn.angles, drawn.scale_units) == ("xy", "xy")
    factor = f"{1 / drawn.scale:.2g}"
    assert (keys(ax).text.get_text(), keys(ax).U) == (f"0.005 UMAP (drawn × {factor})", 0.005)
    assert 0.06 < 0.01 / drawn.scale / np.linalg.norm(np.ptp(shifted.obsm["X_umap"], axis=0)) < 0.1


def test_the_few_longest_arrows_are_cut(shifted):
    shifted.obsm["dko_shift_umap_C"][1] = 50.0
    drawn = arrows(dko.pl.shift(shifted, "C", show=False))
    np.testing.assert_allclose(np.hypot(drawn.U, drawn.V), 0.0002, rtol=1e-5)
    shifted.obsm["dko_shift_umap_C"][:] = 0
    assert not arrows(dko.pl.shift(shifted, "C", show=False)).U.any()
    shifted.obsm["dko_shift_umap_C"][:] = np.nan
    for kind in ("quiver", "grid"):
        assert dko.pl.shift(shifted, "C", kind=kind, show=False).get_title() == "C (0 cells)"


@pytest.mark.parametrize("n", [1, 10, 100])
def test_arrows_of_a_grid_are_means_of_the_cells_in_a_square(shifted, n):
    rng = np.random.default_rng(1)
    shifted.obsm["dko_shift_umap_C"] = rng.normal(scale=1e-3, size=(300, 2))
    drawn = arrows(dko.pl.shift(shifted, "C", kind="grid", n_arrows=n, show=False))
    places, offsets = shifted.obsm["X_umap"].astype(float), shifted.obsm["dko_shift_umap_C"]
    assert 0 < drawn.N <= n
    if n == 1:
        np.testing.assert_allclose([drawn.X[0], drawn.Y[0]], places.mean(axis=0))
        np.testing.assert_allclose([drawn.U[0], drawn.V[0]], offsets.mean(axis=0))
    for x, y in zip(drawn.X, drawn.Y, strict=True):
        near = np.abs(places - [x, y]).max(axis=1) < np.ptp(places, axis=0).max() / np.sqrt(n)
        assert near.sum() >= 2


@pytest.mark.parametrize("dtype", ["bool", "boolean"])
def test_true_and_false_are_names(shifted, dtype):
    shifted.obs["kind_is_b"] = (shifted.obs["kind"] == "B").astype(dtype)
    figure = dko.pl.shift(shifted, color="kind_is_b", return_fig=True)
    assert len(figure.axes) == 2
    assert [text.get_text() for text in figure.axes[1].get_legend().texts] == ["False", "True"]


def test_shifts_of_all_panels_are_drawn_on_one_scale(shifted):
    figure = dko.pl.shift(shifted, return_fig=True)
    first, second = (arrows(ax) for ax in figure.axes)
    assert first.scale == second.scale and keys(figure.axes[0]).U == keys(figure.axes[1]).U
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()


def test_groups_beside_impacts_have_the_colours_of_the_user_and_their_names(pictured):
    pictured.uns["type_colors"] = ["#112233", "#445566", "#778899"]
    figure = dko.pl.impact(pictured, GENES, groupby="type", return_fig=True)
    groups, *others, _ = figure.axes
    assert groups.get_title() == "type" and len(others) == 2
    assert {to_hex(color) for color in groups.collections[0].get_facecolors()} == set(pictured.uns["type_colors"])
    (legend,) = figure.legends
    named = {text.get_text(): line.get_color() for text, line in zip(legend.texts, legend.legend_handles, strict=True)}
    assert named == dict(zip(["B", "CD4/CD8 T", "NK"], pictured.uns["type_colors"], strict=True))


def test_no_cell_lies_outside_of_the_scale_of_waterfalls(pictured):
    order = list(dko.get.impact(pictured, GENES, downstream=True).max().sort_values().index)
    for labels in (order, order[::-1]):
        for ax in dko.pl.waterfall(pictured, labels, show=False):
            low, high = ax.get_ylim()
            assert low == 0 and max(one.get_data().values.max() for one in ax.patches) < high


@pytest.mark.parametrize("downstream", [True, False])
def test_a_waterfall_has_every_cell_of_every_group_in_descending_order(pictured, downstream):
    pictured.uns["type_colors"] = ["#112233", "#445566", "#778899"]
    pictured.obs.loc[pictured.obs_names[:2], "type"] = np.nan
    axes = dko.pl.waterfall(pictured, GENES, groupby="type", downstream=downstream, show=False)
    impacts = dko.get.impact(pictured, GENES, downstream=downstream)
    assert len({ax.get_ylim() for ax in axes}) == 1
    for ax, gene in zip(axes, GENES, strict=True):
        values = impacts[gene].dropna()
        parts = values.groupby(pictured.obs.loc[values.index, "type"], observed=True)
        medians = parts.median().sort_values(ascending=False)
        drawn = [(to_hex(one.get_facecolor()), one.get_data()) for one in ax.patches]
        colors = dict(zip(pictured.obs["type"].cat.categories, pictured.uns["type_colors"], strict=True))
        assert [color for color, _ in drawn] == [colors[group] for group in medians.index]
        for (_, (heights, _, _)), group in zip(drawn, medians.index, strict=True):
            np.testing.assert_allclose(heights, np.sort(parts.get_group(group))[::-1])
        np.testing.assert_allclose([line.get_segments()[0][0, 1] for line in ax.collections], medians)
        assert [data.edges[0] for _, data in drawn] == [0, *np.cumsum(parts.size()[medians.index])[:-1]]
