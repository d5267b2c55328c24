"""Pairs of genes: a matrix of what they do together, or a network of those that interact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import get
from .._core import keys
from .._core.verb import verb
from ._finish import BESIDE, COLORS, IMPACT, finish, panels, wrapped
from ._names import add_names

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from mudata import MuData

    from ._finish import Drawn

_KINDS = ("matrix", "network")
_LABELS = {
    "interaction": f"downstream impact of the pair beyond both alone\n({IMPACT})",
    "excess": f"interaction beyond that of unrelated genes\n({IMPACT})",
    "z": "interaction beyond that of unrelated genes\n(standard deviations of chance)",
}
_STYLES = {"synergy": (COLORS[1], "-"), "buffering": (COLORS[0], "-"), "epistasis": (COLORS[2], (0, (4, 1.5)))}
_ADDITIVE = "additive"
# Areas of nodes in square points, and widths of lines in points.
_AREAS, _WIDTHS = (30.0, 400.0), (0.4, 3.5)
# How much any two genes are pulled together, relative to those that do most together; else what is apart would fly off.
_PULL = 0.03


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
) -> Drawn:
    """Draw which pairs of genes do more (warm) or less (cold) together than unrelated genes would.

    The matrix is ordered so that genes that interact alike stand together; stars are on the pairs that are not called
    additive. The network has a line for each of these, and genes that do more together stand near each other.

    Parameters
    ----------
    adata
        After :func:`dko.tl.interactions`.
    kind
        ``"matrix"`` or ``"network"``.
    group
        Which group, where there are several.
    value
        What colours the matrix and, by its size, makes the lines of the network wide: ``"z"``, ``"excess"``,
        ``"interaction"`` (nearly always below 0) or another column of the table.
    %(results)s
    ax, show, return_fig
        As in :func:`dko.pl.impact`.
    **kwargs
        For :meth:`matplotlib.axes.Axes.imshow`, or for the lines of the network,
        :class:`matplotlib.collections.LineCollection`.

    Returns
    -------
    None if shown, the figure with `return_fig`, otherwise the axes.

    Raises
    ------
    KeyError
        There are no interactions; no such group or column.
    ValueError
        No such kind of plot; several groups and none named.
    """
    if kind not in _KINDS:
        raise ValueError(f"kind={kind!r} must be one of {', '.join(map(repr, _KINDS))}.")
    values = get.interactions(adata, group=group, matrix=value, key=key, mod=mod)
    classes = get.interactions(adata, group=group, matrix="class", key=key, mod=mod)
    table = get.interactions(adata, group=group, key=key, mod=mod)
    n = len(values)
    side = float(np.clip(0.28 * n, 3.0, 11.0)) if kind == "matrix" else 5.0 + 2.0 * (n > 25)
    axes, ours = panels(1, ax, size=(side + (1.6 if kind == "matrix" else 1.8), side + 0.4), what="plot")
    if not ours:
        side = min(axes[0].bbox.size) / axes[0].figure.dpi
    title = "" if group is None else str(group)
    if kind == "matrix":
        _draw_matrix(axes[0], values, classes, value, side, kwargs)
    else:
        found = table[table["class"] != _ADDITIVE]
        if found.empty:
            title = f"{title}: no pair interacts".removeprefix(": ")
        _draw_network(axes[0], table, found, value, kwargs, ours=ours)
    axes[0].set_title(wrapped(title, 40), fontsize="medium")
    return finish(axes, ours=ours, show=show, return_fig=return_fig)


def _draw_matrix(
    ax: Axes, values: pd.DataFrame, classes: pd.DataFrame, value: str, side: float, kwargs: dict[str, Any]
) -> None:
    order = _order(values)
    values, classes = values.iloc[order, order], classes.iloc[order, order]
    numbers = values.to_numpy(dtype=float)
    most = max(np.nanmax(np.abs(numbers), initial=0.0), 1e-12)
    image = ax.imshow(numbers, **{"cmap": "PuOr_r", "vmin": -most, "vmax": most, "interpolation": "none", **kwargs})
    ax.set_facecolor("0.9")
    fontsize = float(np.clip(72 * 0.62 * side / len(values), 4.0, 9.0))
    ax.set_xticks(range(len(values)), values.columns, rotation=90, style="italic", fontsize=fontsize)
    ax.set_yticks(range(len(values)), values.index, style="italic", fontsize=fontsize)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    shades = np.ma.filled(image.norm(np.nan_to_num(numbers)), 0.5)
    found = classes.notna().to_numpy() & (classes != _ADDITIVE).to_numpy()
    for row, column in zip(*np.nonzero(found), strict=True):
        strong = abs(shades[row, column] - 0.5) > 0.35
        ax.text(
            column, row, "*", ha="center", va="center_baseline", fontsize=1.3 * fontsize, color="w" if strong else "k"
        )
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.7, pad=0.02)
    bar.set_label(_LABELS.get(value, value), fontsize="small")
    bar.ax.tick_params(labelsize="small")
    ax.set_xlabel("* pairs that interact", fontsize="small")


def _order(values: pd.DataFrame) -> np.ndarray:
    """Put genes that interact alike side by side."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import pdist

    filled = values.fillna(0.0).to_numpy(dtype=float)
    if len(filled) < 3:
        return np.arange(len(filled))
    return leaves_list(linkage(pdist(filled), method="average", optimal_ordering=True))


def _draw_network(
    ax: Axes, table: pd.DataFrame, found: pd.DataFrame, value: str, kwargs: dict[str, Any], *, ours: bool
) -> None:
    from matplotlib.collections import LineCollection

    impacts = _impacts(table)
    widths = np.abs(found[value].to_numpy(dtype=float))
    widths = widths / max(widths.max(initial=0.0), 1e-12)
    places = _places(impacts.index, found, widths)
    ends = [places.loc[found[name].astype(str)].to_numpy() for name in ("gene_a", "gene_b")]
    lines = np.stack(ends, axis=1)
    for name, (color, style) in _STYLES.items():
        of_class = (found["class"] == name).to_numpy()
        given = {"colors": color, "linestyles": style, "alpha": 0.65, "zorder": 1, **kwargs}
        ax.add_collection(
            LineCollection(
                lines[of_class], linewidths=_WIDTHS[0] + (_WIDTHS[1] - _WIDTHS[0]) * widths[of_class], **given
            )
        )
    areas = _AREAS[0] + (_AREAS[1] - _AREAS[0]) * impacts.to_numpy() / impacts.max()
    ax.scatter(places["x"], places["y"], s=areas, color="0.75", edgecolors="0.3", linewidths=0.8, zorder=2)
    ax.set(xticks=[], yticks=[])
    ax.set_aspect("equal", "datalim")
    ax.margins(0.12)
    ax.spines[:].set_visible(False)
    ax.legend(handles=_handles(found, float(impacts.max())), labelspacing=0.9, **BESIDE if ours else _WITHIN)
    fontsize = 8.0 if len(impacts) <= 40 else 6.5
    add_names(ax, places.to_numpy(), list(impacts.index), np.sqrt(areas / np.pi), fontsize=fontsize)


_WITHIN: dict[str, Any] = {"loc": "best", "frameon": False, "fontsize": "x-small"}


def _impacts(table: pd.DataFrame) -> pd.Series:
    """Return the mean downstream impact of each gene alone, over the pairs that it is in, sorted by name."""
    # Version 0.1.0 had impacts, own share included.
    name = "downstream_" if "downstream_a" in table else "impact_"
    halves = [table[["gene_" + of, name + of]].set_axis(["gene", "impact"], axis=1) for of in ("a", "b")]
    both = pd.concat(halves).astype({"gene": str})
    return both.groupby("gene")["impact"].mean()


def _places(genes: pd.Index, found: pd.DataFrame, weights: np.ndarray) -> pd.DataFrame:
    """Lay genes out so that those that do more together are near each other; always in the same way."""
    import networkx as nx

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
    from matplotlib.lines import Line2D

    n = found["class"].value_counts()
    lines: list[Artist] = [
        Line2D([], [], color=color, ls=style, lw=2.5, label=f"{name} ({n[name]})")
        for name, (color, style) in _STYLES.items()
        if n.get(name, 0)
    ]
    for impact in (largest, largest / 4):
        size = np.sqrt(_AREAS[0] + (_AREAS[1] - _AREAS[0]) * impact / largest)
        dot: dict[str, Any] = {"ls": "none", "marker": "o", "mfc": "0.75", "mec": "0.3", "mew": 0.8}
        lines.append(Line2D([], [], ms=size, label=f"downstream impact {impact:.2g}", **dot))
    return lines
