"""Keystone genes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import get
from .._core import keys
from .._core.verb import verb
from ._finish import BESIDE, NCOLS, finish, panels
from ._ranking_panels import draw, handles, limits
from ._values import DOWNSTREAM, LABELS, MEAN, chosen_value

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from mudata import MuData

    from ._finish import Drawn

_BELOW: dict[str, Any] = {"loc": "lower center", "ncols": 2, "frameon": False, "fontsize": "x-small"}


@verb
def ranking(
    adata: AnnData | MuData,
    *,
    groupby: str | None = None,
    n_genes: int = 10,
    value: str | None = None,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    key_added: str | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw the genes whose knockouts move other genes furthest, overall or per group.

    A dot is a mean downstream impact. It is filled where there is evidence that other genes depend on the gene, at a
    false discovery rate of at most 0.05 of this very number, and hollow where it may be noise. After
    :func:`dko.tl.rank_genes` for the same groups it has its 95 % interval by bootstrap over cells; without it, the rate
    is that of the fit, if it has total effects, and the area of a dot is the fraction of cells that express the gene.

    A tick, beside mean impacts, is the gene's mean share of the expression in the cells that express it: the impact
    that it would have if its removal changed nothing else. No rate belongs to these, and all dots are filled.

    Parameters
    ----------
    adata
        After :func:`dko.tl.scan` or :func:`dko.tl.rank_genes`.
    groupby
        ``obs`` column; by default that of :func:`dko.tl.rank_genes` or of the fit, if any. A panel per group, all on
        one scale but for intervals, which can be too long for that; none for a group of so few cells that
        :func:`dko.get.ranking` ranks nothing.
    n_genes
        Genes per panel.
    value
        ``"downstream_mean"`` or ``"impact_mean"``; the genes with the largest are drawn. By default the genes that
        :func:`dko.get.ranking` has first, by their downstream impact.
    %(results)s
    key_added
        Where :func:`dko.tl.rank_genes` has put its result, if not at ``f"{key}_ranking"``.
    ax, show, return_fig
        As in :func:`dko.pl.impact`; `ax` for one panel.

    Returns
    -------
    None if shown, the figure with `return_fig`, otherwise the axes (a list for several groups).

    Raises
    ------
    KeyError
        Nothing was scanned; no such column; no ranking, or none in these groups, at `key_added`.
    ValueError
        No gene can be ranked; no such value; `ax` with several groups; `n_genes` below 1.
    """
    if n_genes < 1:
        raise ValueError(f"n_genes must be at least 1, got {n_genes}.")
    table = get.ranking(adata, groupby=groupby, key=key, mod=mod, key_added=key_added)
    if table.empty:
        raise ValueError("No gene to rank: none was scanned in enough cells; see min_cells of dko.get.ranking.")
    drawn = chosen_value(value, table, (DOWNSTREAM, MEAN))
    intervals = drawn == DOWNSTREAM and "downstream_low" in table
    if value is not None:
        table = table.sort_values(drawn, ascending=False, kind="stable")
    tables = _heads(table, n_genes)
    axes, ours = panels(
        len(tables),
        ax,
        size=(3.0 if len(tables) > 1 else 5.6, 0.8 + 0.2 * intervals + 0.24 * max(map(len, tables.values()))),
        what="group",
        sharex=not intervals,
    )
    for panel, (group, part) in zip(axes, tables.items(), strict=True):
        draw(panel, part, group, drawn, intervals=intervals)
        panel.set_xlim(limits([part] if intervals else list(tables.values()), drawn, intervals=intervals))
    _explain(axes, handles(list(tables.values()), drawn, intervals=intervals), LABELS[drawn], ours=ours)
    return finish(axes, ours=ours, show=show, return_fig=return_fig)


def _heads(table: pd.DataFrame, n_genes: int) -> dict[str, pd.DataFrame]:
    """Return the rows to draw, by group."""
    if "group" not in table:
        return {"": table.head(n_genes)}
    return {str(group): part.head(n_genes) for group, part in table.groupby("group", observed=True)}


def _explain(axes: list[Axes], shown: list[Artist], label: str, *, ours: bool) -> None:
    if len(axes) == 1:
        axes[0].set_xlabel(label)
        if not ours:
            axes[0].set_ylim(bottom=-0.6 + (axes[0].get_ylim()[0] + 0.6) / 0.78)  # room for the legend below the genes
        axes[0].legend(handles=shown, **(BESIDE if ours else _BELOW))
        return
    for lowest in axes[-NCOLS:]:
        lowest.tick_params(labelbottom=True)
    figure = axes[0].figure
    figure.supxlabel(label, fontsize="medium")
    ncols = 4 if len(axes) > 2 else 2  # as much as fits the width of the panels
    figure.legend(handles=shown, loc="outside upper center", ncols=ncols, frameon=False, fontsize="small")
