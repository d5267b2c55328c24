from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.quiver import Quiver, QuiverKey
from scipy import sparse

import dko


@pytest.fixture
def shifted():
    """300 cells on a map, as dko.tl.identity_shift leaves them: every other is shifted, to the right or up."""
    rng = np.random.default_rng(0)
    adata = AnnData(sparse.csr_matrix((300, 2), dtype=np.float32))
    adata.obs["kind"] = pd.Categorical(np.where(np.arange(300) < 150, "T/NK", "B"))
    adata.obs["depth"] = rng.random(300)
    adata.obsm["X_umap"] = rng.normal(size=(300, 2)).astype(np.float32)
    for name, move in {"A%2FB": [0.01, 0.0], "C": [0.0, 0.0002]}.items():
        moves = np.tile(np.array(move, dtype=np.float32), (300, 1))
        moves[::2] = np.nan
        adata.obsm[f"dko_shift_umap_{name}"] = moves
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
    figure = dko.pl.shift(shifted, return_fig=True)
    first, second = figure.axes
    factors = [float(ax.get_title().split("× ")[1]) for ax in (first, second)]
    assert factors == [50, 2000]
    np.testing.assert_allclose(arrows(first).U, 50 * 0.01, rtol=1e-5)
    np.testing.assert_allclose(arrows(second).V, 2000 * 0.0002, rtol=1e-5)


def test_the_order_asked_for(shifted):
    axes = dko.pl.shift(shifted, ["C", "A/B"], ncols=1, show=False)
    assert [ax.get_title().split(" ")[0] for ax in axes] == ["C", "A/B"]


def test_few_arrows_are_the_same_for_the_same_seed(shifted):
    few = [arrows(dko.pl.shift(shifted, "C", n_arrows=20, rng=rng, show=False)) for rng in (0, 0, 1)]
    assert {found.N for found in few} == {20}
    np.testing.assert_array_equal(few[0].X, few[1].X)
    assert not np.array_equal(few[0].X, few[2].X)


def test_grid(shifted):
    ax = dko.pl.shift(shifted, "A/B", kind="grid", n_arrows=100, show=False)
    drawn = arrows(ax)
    assert 5 < drawn.N < 100
    factor = float(ax.get_title().split("× ")[1])
    np.testing.assert_allclose(drawn.U / factor, 0.01, rtol=1e-5)


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


def test_keywords_reach_scanpy(shifted):
    ax = dko.pl.shift(shifted, "C", size=7, na_color="red", show=False)
    cells = next(drawn for drawn in ax.collections if not isinstance(drawn, Quiver))
    assert set(cells.get_sizes()) == {7}


def test_axes_of_the_user(shifted):
    own = plt.figure().add_subplot()
    assert dko.pl.shift(shifted, "C", ax=own, show=False) is own


def test_after_the_tool_and_on_its_basis(scanned):
    scanned.obsm["X_other"] = scanned.obsm["X_umap"][:, ::-1].copy()
    dko.tl.identity_shift(scanned, "gene_3", basis="other", n_neighbors=5)
    ax = dko.pl.shift(scanned, basis="X_other", show=False)
    assert arrows(ax).N == (scanned[:, "gene_3"].X.toarray() > 0).sum()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("other1", "other2")
    with pytest.raises(KeyError, match="No shifts on 'umap' under key 'dko'; run dko.tl.identity_shift"):
        dko.pl.shift(scanned)


def test_refusals_are_one_sentence_and_leave_no_figure(shifted):
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


@pytest.mark.parametrize("dtype", ["bool", "boolean", "category"])
def test_true_and_false_are_names(shifted, dtype):
    shifted.obs["kind_is_b"] = (shifted.obs["kind"] == "B").astype(dtype)
    figure = dko.pl.shift(shifted, color="kind_is_b", return_fig=True)
    assert len(figure.axes) == 2
    assert [text.get_text() for text in figure.axes[1].get_legend().texts] == ["False", "True"]
