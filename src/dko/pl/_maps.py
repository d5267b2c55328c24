"""Genes that interact, as a matrix or a network, and perturbations with similar effects, on a map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from .. import get
from .._core import keys
from .._core.verb import verb
from ._panels import COLORS, IMPACT, add_names, dot, draw_matrix, dress, line, panels, series, wrapped

if TYPE_CHECKING:
    from mudata import MuData


_LABELS = {
    "interaction": f"downstream impact of the pair minus that of both alone\n({IMPACT})",
    "excess": f"interaction minus that of unrelated genes\n({IMPACT})",
    "z": "interaction minus that of unrelated genes\n(standard deviations of the null)",
}
_STYLES = {"synergy": (COLORS[1], "-"), "buffering": (COLORS[0], "-"), "epistasis": (COLORS[2], (0, (4, 1.5)))}
_ADDITIVE = "additive"
# Areas of nodes in square points, and widths of lines in points.
_AREAS, _WIDTHS = (30.0, 400.0), (0.4, 3.5)
# How much any two genes attract each other, relative to the strongest pair; else unconnected ones would fly off.
_PULL = 0.03

# Areas of points in square points, of no strength and of the largest.
_SMALLEST, _LARGEST = 15.0, 150.0
# More names cover each other, and the points.
_MOST_NAMES = 100


@verb
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
    """
    if kind not in ("matrix", "network"):
        raise ValueError(f"kind={kind!r} must be one of 'matrix', 'network'.")
    values = get.interactions(adata, group=group, matrix=value, key=key, mod=mod)
    table = get.interactions(adata, group=group, key=key, mod=mod)
    found = table[table["class"] != _ADDITIVE]
    title = "" if group is None else str(group)
    if kind == "matrix":
        side = float(np.clip(0.28 * len(values), 3.0, 11.0))
        drawn = panels(1, ax, size=(side + 1.6, side + 0.4), what="plot")
        _draw_stars(drawn.axes[0], values, found, _LABELS.get(value, value), kwargs)
    else:
        if found.empty:
            title = f"{title}: no pair interacts".removeprefix(": ")
        side = 5.0 + 2.0 * (len(values) > 25)
        drawn = panels(1, ax, size=(side + 1.8, side + 0.4), what="plot")
        impacts = _impacts(table)
        areas = _AREAS[0] + (_AREAS[1] - _AREAS[0]) * impacts.to_numpy() / impacts.max()
        places = _draw_network(drawn.axes[0], impacts.index, areas, found, value, kwargs)
        drawn.legend(_handles(found, float(impacts.max())), "beside", labelspacing=0.9)
        fontsize = 8.0 if len(impacts) <= 40 else 6.5
        add_names(drawn.axes[0], places.to_numpy(), list(impacts.index), areas, fontsize=fontsize)
    drawn.axes[0].set_title(wrapped(title, 40), fontsize="medium")
    return drawn.finish(show, return_fig)


def _draw_stars(ax: Axes, values: pd.DataFrame, found: pd.DataFrame, label: str, kwargs: dict[str, Any]) -> None:
    """Draw a matrix of pairs, with stars on those that are found."""
    side = min(ax.bbox.size) / ax.figure.dpi
    fontsize = float(np.clip(72 * 0.7 * side / len(values), 4.0, 9.0))
    values = draw_matrix(ax, values, label=label, signed=True, italic_rows=True, fontsize=fontsize, **kwargs)
    at, shades = list(values.index), np.ma.filled(ax.images[0].norm(values.fillna(0.0).to_numpy()), 0.5)
    for genes in zip(found["gene_a"].astype(str), found["gene_b"].astype(str), strict=True):
        x, y = map(at.index, genes)
        style: dict[str, Any] = {"color": "w" if abs(shades[x, y] - 0.5) > 0.35 else "k", "fontsize": 1.3 * fontsize}
        for place in ((x, y), (y, x)):
            ax.text(*place, "*", ha="center", va="center_baseline", **style)
    ax.set_xlabel("* pairs that interact", fontsize="small")


def _draw_network(
    ax: Axes, genes: pd.Index, areas: np.ndarray, found: pd.DataFrame, value: str, kwargs: dict[str, Any]
) -> pd.DataFrame:
    """Draw genes and the pairs that are found; return where the genes are."""
    weights = np.abs(found[value].to_numpy(dtype=float))
    weights = weights / max(weights.max(initial=0.0), 1e-12)
    widths = _WIDTHS[0] + (_WIDTHS[1] - _WIDTHS[0]) * weights
    places = _places(genes, found, weights)
    lines = np.stack([places.loc[found[name].astype(str)].to_numpy() for name in ("gene_a", "gene_b")], axis=1)
    for name, (color, style) in _STYLES.items():
        rows = (found["class"] == name).to_numpy()
        given = {"colors": color, "linestyles": style, "alpha": 0.65, "zorder": 1, "linewidths": widths[rows], **kwargs}
        ax.add_collection(LineCollection(lines[rows], **given))
    ax.scatter(places["x"], places["y"], s=areas, color="0.75", edgecolors="0.3", linewidths=0.8, zorder=2)
    ax.set(xticks=[], yticks=[])
    ax.set_aspect("equal", "datalim")
    ax.margins(0.12)
    ax.spines[:].set_visible(False)
    return places


def _impacts(table: pd.DataFrame) -> pd.Series:
    """Return the mean downstream impact of each gene alone, over the pairs that it is in, sorted by name."""
    # Version 0.1.0 had impacts, own share included.
    name = "downstream_" if "downstream_a" in table else "impact_"
    halves = [table[["gene_" + of, name + of]].set_axis(["gene", "impact"], axis=1) for of in ("a", "b")]
    return pd.concat(halves).astype({"gene": str}).groupby("gene")["impact"].mean()


def _places(genes: pd.Index, found: pd.DataFrame, weights: np.ndarray) -> pd.DataFrame:
    """Lay genes out so that those with a larger impact together are near each other; always in the same way."""
    graph = nx.complete_graph(genes)
    nx.set_edge_attributes(graph, _PULL, "weight")
    # Buffering is between genes of different kinds; pulled together by it, they would hide that.
    pull = _PULL + weights * (found["class"] != "buffering")
    graph.add_weighted_edges_from(zip(found["gene_a"].astype(str), found["gene_b"].astype(str), pull, strict=True))
    layout = nx.circular_layout(graph)
    if len(found):
        layout = nx.spring_layout(graph, pos=layout, iterations=300, seed=0)
    return pd.DataFrame.from_dict(layout, orient="index", columns=["x", "y"]).loc[list(genes)]


def _handles(found: pd.DataFrame, largest: float) -> list[Artist]:
    n = found["class"].value_counts()
    lines: list[Artist] = [
        line(color, f"{name} ({n[name]})", ls=style, lw=2.5) for name, (color, style) in _STYLES.items() if n.get(name)
    ]
    for impact in (largest, largest / 4):
        size = np.sqrt(_AREAS[0] + (_AREAS[1] - _AREAS[0]) * impact / largest)
        lines.append(dot("0.75", f"downstream impact {impact:.2g}", ms=size, mec="0.3", mew=0.8))
    return lines


@verb
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
        Write the names of the perturbations; of more than 100, those of the strongest of each module.
    %(plot)s
    """
    table = get.modules(adata, key=key, mod=mod)
    known = sorted(set(table["module"]) - {keys.NO_EFFECT}, key=int)
    styles = {name: series(number) for number, name in enumerate(known)}
    styles[keys.NO_EFFECT] = {"color": "0.65", "marker": "o"}
    few = len(table) <= 40
    side = 5.0 if few else 7.0
    drawn = panels(1, ax, size=(side + 1.4, side), what="map")
    (panel,) = drawn.axes
    areas = _SMALLEST + (_LARGEST - _SMALLEST) * table["strength"].to_numpy() / max(table["strength"].max(), 1e-12)
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
        handles.append(dot("0.3", "not trained on", ms=6, mfc="none", mew=1.3))
    drawn.legend(handles, "beside", title="area: strength", title_fontsize="small", alignment="left")
    if names:
        named = _named(table)
        order = np.concatenate([named, np.setdiff1d(np.arange(len(table)), named)])
        places = table.loc[order, ["umap_1", "umap_2"]].to_numpy(dtype=float)
        labels = table.loc[named, "perturbation"].to_list()
        add_names(panel, places, labels, areas[order], fontsize=8.0 if few else 6.5)
    return drawn.finish(show, return_fig)


def _named(table: pd.DataFrame) -> np.ndarray:
    """Return the rows of the perturbations that have room for their names."""
    if len(table) <= _MOST_NAMES:
        return np.arange(len(table))
    affects = table[table["module"] != keys.NO_EFFECT].sort_values("strength", ascending=False, kind="stable")
    strongest = affects.groupby("module").head(max(1, _MOST_NAMES // max(1, affects["module"].nunique())))
    return np.sort(strongest.index.to_numpy())
