"""Keystone genes, whose knockouts have the largest impact on other genes: overall, per group, and side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import get
from .._core import keys
from .._core.messages import listed, require_one_of, unknown
from ._matrix import draw_matrix
from ._panels import CHANCE, FDR, FOUND, IMPACT, dot, dress, line, name_rows, panels
from ._style import BLUE, PALE, RED, plot

if TYPE_CHECKING:
    from .._typing import AnnData, Artist, Axes, MuData, Sequence

DOWNSTREAM, MEAN = "downstream_mean", "impact_mean"
# What a ranking can be drawn by.
LABELS = {
    DOWNSTREAM: f"mean downstream impact ({IMPACT})",
    MEAN: f"mean impact, own share included ({IMPACT})",
    "specificity": "specificity (log2 ratio to other cells)",
    "fraction": "fraction of cells that express the gene",
}
_DOT, _TICK = BLUE, RED
# Area in square points of the dot of a gene that all cells express, and diameter in points of one with an interval.
_FULL, _SIZE = 110.0, 6.0
_FEW = "too few cells of the group express the gene"
_ENDS = ["downstream_low", "downstream_high"]


@plot
def ranking(
    adata: AnnData | MuData,
    *,
    groupby: str | None = None,
    group: str | Sequence[str] | None = None,
    n_genes: int = 10,
    value: str | None = None,
    sharex: bool = True,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    key_added: str | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Any:
    """Draw the genes whose knockouts have the largest impact on other genes, overall or per group.

    A dot is a mean downstream impact, hollow where it may be noise (false discovery rate above 0.05). After
    :func:`dko.tl.rank_genes` for the same groups it has its 95 % interval; without it, the rate is that of the fit, if
    any, and the area the fraction of cells that express the gene. A tick, beside mean impacts (which have no rate), is
    the gene's mean share of the expression: the impact if nothing else changed.

    Parameters
    ----------
    adata
        After :func:`dko.tl.scan` or :func:`dko.tl.rank_genes`.
    %(groupby)s
        A panel per group that has genes.
    group
        Draw only these groups, in this order.
    n_genes
        Genes per panel.
    value
        ``"downstream_mean"`` or ``"impact_mean"``; the genes with the largest are drawn. By default the genes that
        :func:`dko.get.ranking` has first, by their downstream impact.
    sharex
        Draw all panels on one scale; False shows more where the impacts of one group are far larger.
    %(ranking)s
    %(plot)s

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.tl.scan(adata)
    >>> dko.tl.rank_genes(adata, groupby="cell_type")
    >>> dko.pl.ranking(adata, n_genes=5)
    """
    table = get.ranking(adata, groupby=groupby, key=key, mod=mod, key_added=key_added)
    table = _of_groups(table, group)
    if table.empty:
        raise ValueError("No gene to rank: none was scanned in enough cells; see min_cells of dko.get.ranking.")
    shown = _chosen_value(value, table, DOWNSTREAM, MEAN)
    intervals = shown == DOWNSTREAM and _ENDS[0] in table
    if value is not None:
        table = table.sort_values(shown, ascending=False, kind="stable")
    known = rates(table) if shown == DOWNSTREAM else None
    table["found"] = True if known is None else known <= FDR
    parts = {"": table} if "group" not in table else dict(iter(table.groupby("group", observed=True)))
    tables = {str(group): part.head(n_genes) for group, part in parts.items()}
    several, longest = len(tables) > 1, max(map(len, tables.values()))
    size = (3.0 if several else 5.6, 0.8 + 0.2 * intervals + 0.24 * longest)
    drawn = panels(len(tables), ax, size=size, what="group", sharex=sharex)
    for panel, (group, part) in zip(drawn.axes, tables.items(), strict=True):
        places, ends = range(len(part)), [part[end] for end in _ENDS] if intervals else [0, part[shown]]
        panel.axvline(0, color=PALE, lw=0.8, zorder=0)
        panel.hlines(places, *ends, color=_DOT if intervals else PALE, lw=1.6 if intervals else 1, zorder=1)
        areas, faces = _SIZE**2 if intervals else _FULL * part["fraction"], np.where(part["found"], _DOT, "white")
        panel.scatter(part[shown], places, s=areas, c=faces, edgecolors=_DOT, linewidths=1.2, zorder=2)
        panel.locator_params(axis="x", nbins=4, steps=[1, 2, 5, 10])
        if shown == MEAN:
            panel.scatter(part["expression_mean"], places, marker="|", s=70, color=_TICK, lw=1.8, zorder=3)
        dress(panel, group, "" if several else LABELS[shown], width=28)
        name_rows(panel, part["gene"])
    for panel in drawn.axes:
        panel.set_xlim(left=0)
    if several:
        drawn.label_outer()
        drawn.axes[0].figure.supxlabel(LABELS[shown])
    found = None if known is None else pd.concat(tables.values())["found"]
    drawn.legend(_handles(found, shown, intervals), "above" if several else "beside", ncols=min(2 * len(tables), 4))
    return drawn.finish(show, return_fig)


def _of_groups(table: pd.DataFrame, group: str | Sequence[str] | None) -> pd.DataFrame:
    """Return the rows of some groups, which come in this order; all if none is named."""
    if group is None:
        return table
    wanted = [group] if isinstance(group, str) else list(dict.fromkeys(map(str, group)))
    if "group" not in table:
        raise ValueError("This ranking is over all cells; name the obs column of the groups, groupby=...")
    found = table["group"].astype(str)
    if missing := [group for group in wanted if not (found == group).any()]:
        raise KeyError(unknown("group with genes", missing, found.unique(), "the ranking"))
    table = table.assign(group=pd.Categorical(found, wanted))
    return table[table["group"].notna()].reset_index(drop=True)


def _chosen_value(value: str | None, table: pd.DataFrame, *known: str) -> str:
    """Return the column to draw: the one asked for, or the best that there is."""
    there = [name for name in known if name in table]
    if value is not None and value not in there:
        remedy = "run dko.tl.scan, and dko.tl.rank_genes for the same groups, for others"
        raise ValueError(f"value={value!r} must be one of {listed(there)}; {remedy}.")
    return value or there[0]


def rates(table: pd.DataFrame) -> pd.Series | None:
    """Return the false discovery rates of downstream impacts: of a ranking, or else those of the fit, if any."""
    return next((table[name] for name in ("pval_adj", "signal") if name in table), None)


def _handles(found: pd.Series | None, value: str, intervals: bool) -> list[Artist]:
    shown: list[Artist] = []
    if found is not None and found.any():
        shown.append(dot(_DOT, FOUND, ms=_SIZE, mew=0))
    if found is not None and not found.all():
        shown.append(dot(_DOT, CHANCE, ms=_SIZE, mfc="white", mew=1.2))
    if intervals:
        return [*shown, line(_DOT, "95 % interval", lw=1.6)]
    shown += [dot(_DOT, f"gene in {part:.0%} of cells", ms=(_FULL * part) ** 0.5, mew=0) for part in (0.25, 0.5, 1.0)]
    if value == MEAN:
        shown.append(dot(_TICK, "share of expression", marker="|", ms=8, mew=1.8))
    return shown


@plot
def heatmap(
    adata: AnnData | MuData,
    genes: Sequence[str] | None = None,
    *,
    groupby: str | None = None,
    group: str | Sequence[str] | None = None,
    n_genes: int = 5,
    value: str | None = None,
    kind: str = "matrix",
    dendrogram: bool = True,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    key_added: str | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
    **kwargs: Any,
) -> Any:
    """Draw the downstream impact of genes in groups of cells, groups x genes, similar ones side by side.

    Genes that too few cells of a group express (`min_cells` of :func:`dko.tl.rank_genes` and :func:`dko.get.ranking`)
    are grey there, or have no dot. What can be below 0 is drawn around 0, in other colours.

    Parameters
    ----------
    adata
        After :func:`dko.tl.scan` or :func:`dko.tl.rank_genes`.
    genes, n_genes
        Genes to draw; by default the `n_genes` with the largest value in each group, those with a false discovery rate
        of at most 5 % first.
    %(groupby)s
    group
        Draw only these groups; in this order without `dendrogram`.
    value
        ``"downstream_mean"``, the default, ``"impact_mean"``, which contains the gene's own share, or ``"fraction"``,
        of the cells that express the gene; after :func:`dko.tl.rank_genes` also ``"specificity"``.
    kind
        ``"matrix"``, or ``"dots"``, as in :func:`scanpy.pl.dotplot`: the area of a dot is the fraction of the cells
        that express the gene; hollow ones may be chance.
    dendrogram
        Order groups and genes by average linkage of their values, and draw the trees.
    %(ranking)s
    kwargs
        For :meth:`matplotlib.axes.Axes.imshow` or, of dots, :meth:`matplotlib.axes.Axes.scatter`: ``cmap``, ``vmin``,
        ``vmax``, ``norm`` and so on.
    %(plot)s

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.tl.scan(adata)
    >>> dko.tl.rank_genes(adata, groupby="cell_type")
    >>> dko.pl.heatmap(adata, n_genes=3)
    """
    require_one_of(("matrix", "dots"), kind=kind)
    table = get.ranking(adata, groupby=groupby, key=key, mod=mod, key_added=key_added)
    if "group" not in table:
        raise ValueError("A heatmap is of groups of cells; name the obs column that has them, groupby=...")
    table = _of_groups(table, group)
    if table.empty:
        raise ValueError("No gene to draw: none was scanned in enough cells; see min_cells of dko.get.ranking.")
    shown = _chosen_value(value, table, DOWNSTREAM, MEAN, "specificity", "fraction")
    table["found"] = False if (known := rates(table)) is None else known <= FDR
    if genes is None:
        sorted_table = table.sort_values(["found", shown], ascending=False, kind="stable")
        best = sorted_table.groupby("group", observed=True).head(n_genes)
        names = list(dict.fromkeys(best.sort_values("group", kind="stable")["gene"]))
    else:
        names = list(dict.fromkeys([genes] if isinstance(genes, str) else genes))
        if not names:
            raise ValueError("genes names no gene; leave it out for those with the largest values.")
        if missing := sorted(set(names) - set(table["gene"])):
            raise KeyError(unknown("gene", missing, table["gene"].unique(), "the ranking"))
    wide = table.astype({"gene": str}).pivot(index="group", columns="gene")
    wide.index = wide.index.astype(str)
    label = LABELS[shown].replace(" (", "\n(")  # the bar is short where there are few groups
    how: dict[str, Any] = {"signed": shown == "specificity", "grey": _FEW, "ordered": dendrogram, **kwargs}
    if kind == "dots":
        how["areas"] = wide["fraction"][names].fillna(0.0)
        how["hollow"] = wide["found"][names].eq(False) if known is not None else None
    drawn, _ = draw_matrix(wide[shown][names], ax, label=label, **how)
    return drawn.finish(show, return_fig)
