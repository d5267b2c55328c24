"""Where plots are drawn, what they hand back, and what they refuse."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pytest
import scanpy as sc
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import dko

from .conftest import GENES

PLOTS = {
    "impact": lambda adata, **how: dko.pl.impact(adata, GENES[0], **how),
    "ranking": dko.pl.ranking,
}


MATRICES = {
    "matrix": lambda adata, **how: dko.pl.heatmap(adata, groupby="type", **how),
    "dots": lambda adata, **how: dko.pl.heatmap(adata, groupby="type", kind="dots", **how),
    "pairs": dko.pl.pairs,
    "effect": lambda adata, **how: dko.pl.effect(adata, kind="heatmap", n_genes=8, **how),
}


@pytest.fixture(params=PLOTS)
def plot(request):
    return PLOTS[request.param]


@pytest.fixture
def shown(monkeypatch):
    """Count calls of plt.show, and set scanpy's autoshow for one test."""
    calls = []
    monkeypatch.setattr(plt, "show", lambda *args, **kwargs: calls.append(1))
    before = sc.settings.autoshow
    yield calls
    sc.settings.autoshow = before


@pytest.mark.parametrize(
    ("autoshow", "show", "n_shown"), [(True, None, 1), (True, True, 1), (True, False, 0), (False, None, 0)]
)
def test_a_new_figure_is_shown_once_or_handed_back_open(plot, pictured, shown, autoshow, show, n_shown):
    sc.settings.autoshow = autoshow
    found = plot(pictured, show=show)
    assert len(shown) == n_shown and (found is None) == bool(n_shown)
    if not n_shown:
        assert isinstance(found, Axes)
        (number,) = plt.get_fignums()
        assert plt.figure(number) is found.figure


def test_draws_in_the_axes_of_the_user(plot, pictured, shown):
    figure, (left, right) = plt.subplots(1, 2)
    assert plot(pictured, ax=left) is left
    assert left.has_data() and not right.has_data()
    assert plot(pictured, ax=right, return_fig=True) is figure
    assert plt.get_fignums() == [figure.number], "the figure of the user stays open"
    assert not shown


def test_takes_a_modality(pictured, mudata_of):
    mdata = mudata_of(expression=pictured)
    assert isinstance(PLOTS["impact"](mdata, mod="expression", return_fig=True), Figure)


BAD = [
    (dko.pl.dose_response, [], {"y": "latent"}, "y='latent' must be one of 'impact', 'downstream', 'distance', 'n_cha"),
    (dko.pl.effect, ["D"], {}, "No knockout 'D'"),
    (dko.pl.effect, [], {"kind": "bars"}, "kind='bars' must be one of 'volcano', 'lollipop', 'heatmap'"),
    (dko.pl.effect, [], {"kind": "heatmap", "n_genes": 0}, "n_genes=0 must be at least 1"),
    (dko.pl.effect, [], {"ax": 1}, "room for one panel, but there are 4, one per knockout and group"),
    (dko.pl.profile, ["gene_4"], {}, r"No knockout 'gene_4' in .* [Rr]un dko.tl.virtual_ko\(adata, ..., key='dko'\)"),
    (dko.pl.profile, GENES[:1], {"groups": [False] * 80}, "No such cell expresses 'gene_3'"),
    (dko.pl.impact, [GENES], {"ax": 1}, "room for one panel, but there are 2, one per knockout"),
    (dko.pl.impact, [GENES[0]], {"ax": 1, "groupby": "type"}, "room for one panel, but there are 2"),
    (dko.pl.impact, [GENES], {"groupby": "tipe"}, "No column 'tipe' in adata.obs. Did you mean 'type'"),
    (dko.pl.waterfall, [GENES], {"groupby": "tipe"}, "No column 'tipe' in adata.obs. Did you mean 'type'"),
    (dko.pl.waterfall, [GENES], {"ax": 1}, "room for one panel, but there are 2, one per knockout"),
    (dko.pl.impact, [[]], {}, "genes names no gene"),
    (dko.pl.impact, [GENES], {"title": "one"}, "one entry per knockout .2., got 1"),
    (dko.pl.impact, [GENES], {"vmax": "p99"}, "must be numbers"),
    (dko.pl.impact, [GENES], {"basis": "tsne"}, r"No embedding 'tsne' in adata\.obsm; there are "),
    (dko.pl.shift, [], {"kind": "stream"}, "kind='stream' must be one of 'quiver', 'grid'"),
    (dko.pl.shift, [["D"]], {}, "No knockout 'D' in the shifts on 'umap'"),
    (dko.pl.shift, [], {"color": "tipe"}, "No column 'tipe' in adata.obs. Did you mean 'type'"),
    (dko.pl.ranking, [], {"value": "size"}, "value='size' must be one of 'downstream_mean', 'impact_mean'"),
    (dko.pl.ranking, [], {"groupby": "type", "ax": 1}, "room for one panel, but there are 3, one per group"),
    (dko.pl.heatmap, [], {"kind": "bars"}, "kind='bars' must be one of 'matrix', 'dots'"),
    (dko.pl.heatmap, [], {}, "groups of cells; name the obs column that has them, groupby="),
    (dko.pl.heatmap, [], {"groupby": "type", "value": "specificity"}, "must be one of .*; run dko.tl.scan, and "),
    (dko.pl.heatmap, [["gene_99"]], {"groupby": "type"}, "No gene 'gene_99' in the ranking. Did you mean"),
    (dko.pl.evaluation, [], {"metric": "person"}, r"No metric 'person' in the evaluation\. Did you mean 'pearson'"),
    (dko.pl.fit, [], {"split": "test"}, "No test cells"),
    (dko.pl.pairs, [], {"kind": "graph"}, "kind='graph' must be one of 'matrix', 'network'"),
]


@pytest.mark.parametrize(("plot", "given", "how", "says"), BAD)
def test_bad_input_is_one_sentence_and_leaves_no_figure(plot, given, how, says, pictured):
    own = plt.figure().add_subplot()
    how = {name: own if name == "ax" else value for name, value in how.items()}
    plt.close("all")
    with pytest.raises((ValueError, KeyError), match=says):
        plot(pictured, *given, **how)
    assert not plt.get_fignums()


@pytest.mark.parametrize(("n", "ncols", "shape"), [(2, 4, (1, 2)), (4, 3, (2, 2)), (5, 4, (2, 3)), (9, 4, (3, 3))])
def test_panels_fill_their_rows_evenly(n, ncols, shape, pictured):
    genes = list(pictured.var_names[2 : 2 + n])
    axes = dko.pl.impact(pictured, genes, ncols=ncols, show=False)
    grid = axes[0].get_gridspec()
    assert (grid.nrows, grid.ncols) == shape and len(axes) == n


def test_text_can_be_read_on_dark_axes(pictured):
    with plt.style.context("dark_background"):
        _, ax = plt.subplots()
        dko.pl.effect(pictured, "gene_5", ax=ax)
    legend = ax.get_legend()
    assert legend is not None and len(ax.texts)
    texts = [*ax.texts, *legend.texts]
    assert {to_hex(text.get_color()) for text in texts} == {"#ffffff"}


@pytest.mark.parametrize("layout", [None, "constrained"])
@pytest.mark.parametrize("name", MATRICES)
def test_trees_and_bars_stay_within_the_axes_of_the_user(name, layout, pictured):
    figure, axes = plt.subplots(2, 2, figsize=(11, 8), layout=layout)
    ax = axes[1, 0]
    assert MATRICES[name](pictured, ax=ax) is ax and len(figure.axes) == 4
    figure.draw_without_rendering()
    place = ax.get_position(original=True).transformed(figure.transFigure)
    boxes = [beside.get_tightbbox() for beside in ax.child_axes]
    assert len(boxes) >= 3, "two trees and a bar"
    assert all(box.x1 <= place.x1 + 1 and box.y1 <= place.y1 + 1 for box in boxes)
    assert ax.bbox.width > 0.4 * place.width and ax.bbox.height > 0.4 * place.height, "there is room for the matrix"
    box, others = ax.get_tightbbox(), [other.get_tightbbox() for other in axes.flat if other is not ax]
    assert not any(box.overlaps(other) for other in others)
