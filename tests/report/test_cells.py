"""Cells are drawn in the colours that the user has given their groups."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.colors import to_hex, to_rgba

from dko.pl._finish import COLORS
from dko.report._cells import draw_groups

KINDS = np.array(["b", "c", "a", "b"])
COLOR_OF = {"c": "#ff0000", "gone": "#123456", "a": "#00ff00", "b": "#0000ff"}


@pytest.fixture
def placed():
    """Four cells, whose groups are not in the order of their names; one group has no cell."""
    adata = AnnData(np.ones((4, 1), dtype=np.float32))
    adata.obs["ct"] = pd.Categorical(KINDS, categories=list(COLOR_OF))
    adata.obsm["X_umap"] = np.arange(8.0).reshape(4, 2)
    return adata


def colors(adata, column="ct"):
    """Labels of the legend, and the colour of each cell."""
    figure = draw_groups(adata, "umap", column)
    (ax,) = figure.axes
    legend = ax.get_legend()
    assert legend is not None
    labels = [text.get_text() for text in legend.texts]
    at = {tuple(place): to_hex(color) for place, color in zip(*_points(ax.collections[0]), strict=True)}
    plt.close(figure)
    return labels, [at.get(tuple(place)) for place in adata.obsm["X_umap"]]


def _points(drawn):
    return np.asarray(drawn.get_offsets()), drawn.get_facecolors()


def test_colours_of_the_user_go_by_the_order_of_the_column(placed):
    placed.uns["ct_colors"] = list(COLOR_OF.values())
    labels, found = colors(placed)
    assert labels == ["c", "a", "b"]
    assert found == [COLOR_OF[kind] for kind in KINDS]


def test_colours_of_our_own_where_the_user_has_none(placed):
    own = [to_hex(to_rgba(color)) for color in COLORS]
    assert colors(placed)[1] == [own[list(COLOR_OF).index(kind)] for kind in KINDS]
    placed.obs["flag"] = [True, False, True, True]
    assert colors(placed, "flag") == (["False", "True"], [own[1], own[0], own[1], own[1]])


def test_cells_without_a_value_or_a_place_are_left_out(placed):
    placed.uns["ct_colors"] = list(COLOR_OF.values())
    placed.obs.loc[placed.obs_names[0], "ct"] = np.nan
    placed.obsm["X_umap"][3] = np.nan
    labels, found = colors(placed)
    assert labels == ["c", "a"] and found == [None, COLOR_OF["c"], COLOR_OF["a"], None]
