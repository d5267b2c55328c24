"""Genes that interact, as a matrix or a network, and perturbations with similar effects, on a map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection
from matplotlib.patheffects import withStroke

from .. import get
from .._core import keys
from .._core.messages import require_one_of
from ._matrix import draw_matrix
from ._panels import IMPACT, Panels, add_names, dot, dress, line, panels, series, wrapped
from ._style import BLUE, DARK, GREEN, GREY, NAMES, PALE, RED, SMALL_NAMES, plot

if TYPE_CHECKING:
    from .._typing import AnnData, Axes, MuData

_LABELS = {
    "interaction": f"downstream impact of the pair minus that of both alone\n({IMPACT})",
    "excess": f"interaction minus that of unrelated genes\n({IMPACT})",
    "z": "interaction minus that of unrelated genes\n(standard deviations of the null)",
}
_STYLES = {"synergy": (RED, "-"), "buffering": (BLUE, "-"), "epistasis": (GREEN, (0, (4, 1.5)))}
# Areas of nodes in square points, and widths of lines in points.
_AREAS, _WIDTHS = (30.0, 400.0), (0.4, 3.5)
# How much any two genes attract each other, relative to the strongest pair; else unconnected ones would fly off.
_PULL = 0.03


@plot
def pairs(
    adata: AnnData | MuData,
    *,
    kind: str = "matrix",
    group: str | None = None,
    value: str = "z",
    key: str = keys.DEFAULT,
    mod: str = "rna",
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
    **kwargs: Any,
) -> Any:
    """Draw which pairs of genes have a larger (red) or smaller (blue) impact together than unrelated genes would.

    Parameters
    ----------
    adata
        After :func:`dko.tl.interactions`.
    kind
        ``"matrix"``, genes with similar interactions side by side, a star on each pair that is not called additive; or
        ``"network"``, a line for each of these, genes with a larger impact together nearer.
    group
        Which group, where there are several.
    value
        What colours the matrix and gives the widths of lines: ``"z"``, ``"excess"``, ``"interaction"`` (nearly always
        below 0) or another column of the table.
    **kwargs
        For :meth:`matplotlib.axes.Axes.imshow` or :class:`matplotlib.collections.LineCollection`, the lines.
    %(plot)s

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.tl.interactions(adata, ["CD74", "HLA-DRA", "NKG7"])
    >>> dko.pl.pairs(adata)
    """
    require_one_of(("matrix", "network"), kind=kind)
    values = get.interactions(adata, group=group, matrix=value, key=key, mod=mod)
    table = get.interactions(adata, group=group, key=key, mod=mod)
    found = table[table["class"] != "additive"].astype({"gene_a": str, "gene_b": str})
    title = "" if group is None else str(group)
    if kind == "matrix":
        label = _LABELS.get(value, value)
        drawn, values = draw_matrix(values, ax, label=label, signed=True, italic_rows=True, **kwargs)
        _draw_stars(drawn.axes[0], values.index, found)
    else:
        if found.empty:
            title = f"{title}: no pair interacts".removeprefix(": ")
        side = 5.0 + 2.0 * (len(values) > 25)
        drawn = panels(1, ax, size=(side + 1.8, side + 0.4), what="plot")
        _draw_network(drawn, table, found, value, kwargs)
    drawn.axes[0].set_title(wrapped(title, 40))
    return drawn.finish(show, return_fig)


def _draw_stars(ax: Axes, genes: pd.Index, found: pd.DataFrame) -> None:
    halo = [withStroke(linewidth=1.5, foreground="white")]
    fontsize = 1.3 * float(ax.get_xticklabels()[0].get_fontsize())
    places = np.stack([genes.get_indexer(found["gene_a"]), genes.get_indexer(found["gene_b"])], axis=1)
    for x, y in [*places, *places[:, ::-1]]:
        ax.text(x, y, "*", ha="center", va="center_baseline", fontsize=fontsize, path_effects=halo)
    notes = ["* pairs that interact (significant)" if len(found) else "", ax.get_xlabel()]
    ax.set_xlabel("\n".join(filter(None, notes)), fontsize="small")


def _draw_network(drawn: Panels, table: pd.DataFrame, found: pd.DataFrame, value: str, kwargs: dict[str, Any]) -> None:
    """Draw genes, by their mean impact alone over the pairs that they are in, and the pairs that are found."""
    # Version 0.1.0 had impacts, own share included.
    name = "downstream_" if "downstream_a" in table else "impact_"
    halves = [table[["gene_" + of, name + of]].set_axis(["gene", "impact"], axis=1) for of in ("a", "b")]
    impacts = pd.concat(halves).astype({"gene": str}).groupby("gene")["impact"].mean()
    largest, (smallest_area, largest_area) = float(impacts.max()), _AREAS

    def area(impact: Any) -> Any:
        return smallest_area + (largest_area - smallest_area) * impact / largest

    weights = np.abs(found[value].to_numpy(dtype=float))
    weights = weights / max(weights.max(initial=0.0), 1e-12)
    widths = _WIDTHS[0] + (_WIDTHS[1] - _WIDTHS[0]) * weights
    places = _places(impacts.index, found, weights)
    lines = np.stack([places.loc[found[name]].to_numpy() for name in ("gene_a", "gene_b")], axis=1)
    (ax,), handles = drawn.axes, []
    for name, (color, style) in _STYLES.items():
        if (rows := (found["class"] == name).to_numpy()).any():
            given = {"colors": color, "linestyles": style, "alpha": 0.65, "zorder": 1, "linewidths": widths[rows]}
            ax.add_collection(LineCollection(lines[rows], **{**given, **kwargs}))
            handles.append(line(color, f"{name} ({rows.sum()})", ls=style, lw=2.5))
    ax.scatter(places["x"], places["y"], s=area(impacts), color=PALE, edgecolors=DARK, linewidths=0.8, zorder=2)
    ax.set(xticks=[], yticks=[])
    ax.set_aspect("equal", "datalim")
    ax.margins(0.12)
    ax.spines[:].set_visible(False)
    for impact in (largest, largest / 4):
        handles.append(dot(PALE, f"downstream impact {impact:.2g}", ms=area(impact) ** 0.5, mec=DARK, mew=0.8))
    title: dict[str, Any] = {"title": f"width: size of {value}", "alignment": "left"}
    drawn.legend(handles, "beside", labelspacing=0.9, handletextpad=1.2, **(title if len(found) else {}))
    drawn.lay_out()
    fontsize = NAMES if len(impacts) <= 40 else SMALL_NAMES
    add_names(ax, places.to_numpy(), list(impacts.index), area(impacts.to_numpy()), fontsize=fontsize, lines=lines)


def _places(genes: pd.Index, found: pd.DataFrame, weights: np.ndarray) -> pd.DataFrame:
    """Lay genes out so that those with a larger impact together are near each other; always in the same way."""
    graph = nx.complete_graph(genes)
    nx.set_edge_attributes(graph, _PULL, "weight")
    # Buffering is between genes of different kinds; pulled together by it, they would hide that.
    pull = _PULL + weights * (found["class"] != "buffering")
    graph.add_weighted_edges_from(zip(found["gene_a"], found["gene_b"], pull, strict=True))
    layout = nx.circular_layout(graph)
    if len(found):
        layout = nx.spring_layout(graph, pos=layout, iterations=300, seed=0)
    return pd.DataFrame.from_dict(layout, orient="index", columns=["x", "y"]).loc[list(genes)]


@plot
def modules(
    adata: AnnData | MuData,
    *,
    names: bool = True,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Any:
    """Draw perturbations on a map, near others with similar effects.

    A colour (and shape, where there are many) is a module, grey no effect, the area the strength; hollow was not
    trained on.

    Parameters
    ----------
    adata
        After :func:`dko.tl.perturbation_modules`.
    names
        Write the names of the perturbations; of more than 60, of the five strongest of each module. One without room is
        left out.
    %(plot)s

    Examples
    --------
    >>> screen = dko.datasets.perturb_seq(8, 60, rng=0)
    >>> dko.tl.fit(screen, model="sccvae", perturbation_key="perturbation", control="control", max_steps=100)
    >>> dko.tl.perturbation_modules(screen)
    >>> dko.pl.modules(screen)
    """
    table = get.modules(adata, key=key, mod=mod)
    known = sorted(set(table["module"]) - {keys.NO_EFFECT}, key=int)
    styles = {name: series(number) for number, name in enumerate(known)}
    styles[keys.NO_EFFECT] = {"color": GREY, "marker": "o"}
    few = len(table) <= 40
    side = 5.0 if few else 7.0
    drawn = panels(1, ax, size=(side + 1.4, side), what="map")
    (panel,) = drawn.axes
    areas = 15.0 + 135.0 * table["strength"].to_numpy() / max(table["strength"].max(), 1e-12)
    for (module, unseen), rows in table.groupby(["module", "is_unseen"]).groups.items():
        color, marker = styles[module].values()
        style = {"facecolors": "none" if unseen else color, "edgecolors": color, "linewidths": 1.3 * unseen}
        panel.scatter(table["umap_1"][rows], table["umap_2"][rows], s=areas[rows], marker=marker, **style)
    dress(panel, xlabel="UMAP 1", ylabel="UMAP 2")
    panel.set(xticks=[], yticks=[])
    panel.margins(0.08)
    n_of = table["module"].value_counts()
    handles = [
        dot(label=f"{'' if name == keys.NO_EFFECT else 'module '}{name} ({n_of[name]})", ms=6, mew=0, **style)
        for name, style in styles.items()
        if name in n_of
    ]
    if table["is_unseen"].any():
        handles.append(dot(DARK, "not trained on", ms=6, mfc="none", mew=1.3))
    drawn.legend(handles, "beside", title="area: strength", alignment="left")
    if names:
        named = table.sort_values("strength", ascending=False, kind="stable")
        named = (named if len(table) <= 60 else named.groupby("module").head(5)).index
        order = named.append(table.index.difference(named))
        places = table.loc[order, ["umap_1", "umap_2"]].to_numpy(dtype=float)
        labels = table.loc[named, "perturbation"].to_list()
        drawn.lay_out()
        add_names(panel, places, labels, areas[order], fontsize=NAMES if few else SMALL_NAMES)
    return drawn.finish(show, return_fig)
