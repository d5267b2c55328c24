"""Keystone genes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import _keys, get
from ._finish import BESIDE, COLORS, IMPACT, NCOLS, finish, panels, wrapped

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from mudata import MuData

    from ._finish import Drawn

_MEANS = ["impact_mean", "expression_mean"]
_DOT, _TICK = COLORS[0], COLORS[1]
_BELOW: dict[str, Any] = {"loc": "lower center", "ncols": 2, "frameon": False, "fontsize": "x-small"}
# Area in square points of the dot of a gene that all cells express.
_FULL = 110.0


def ranking(
    adata: AnnData | MuData,
    *,
    groupby: str | None = None,
    n_genes: int = 10,
    key: str = _keys.DEFAULT,
    mod: str = "rna",
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw the genes with the largest mean impact, beside how strongly and in how many cells they are expressed.

    A dot is a gene's mean impact over the cells that express it; its area, the fraction of cells that do. The tick is
    its mean share of the expression in these cells: the impact that it would have if its removal changed nothing else.

    Parameters
    ----------
    adata
        After :func:`dko.tl.scan`.
    groupby
        ``obs`` column; by default that of the fit, if any. A panel per group, all on one scale; none for a group of so
        few cells that :func:`dko.get.ranking` ranks nothing.
    n_genes
        Genes per panel.
    key, mod
        Where the results are.
    ax, show, return_fig
        As in :func:`dko.pl.impact`; `ax` for one panel.

    Returns
    -------
    None if shown, the figure with `return_fig`, otherwise the axes (a list for several groups).

    Raises
    ------
    KeyError
        Nothing was scanned, or no such column.
    ValueError
        No gene can be ranked; `ax` with several groups; `n_genes` below 1.
    """
    if n_genes < 1:
        raise ValueError(f"n_genes must be at least 1, got {n_genes}.")
    table = get.ranking(adata, groupby=groupby, key=key, mod=mod)
    if table.empty:
        raise ValueError("No gene to rank: none was scanned in enough cells; see min_cells of dko.get.ranking.")
    grouped = "group" in table
    tables = dict(list(table.groupby("group", observed=True))) if grouped else {"": table}
    rows = min(n_genes, max(len(part) for part in tables.values()))
    axes, ours = panels(
        len(tables),
        ax,
        size=(3.0 if len(tables) > 1 else 5.6, 0.8 + 0.24 * rows),
        what="group",
        sharex=True,
    )
    for panel, (group, part) in zip(axes, tables.items(), strict=True):
        _draw(panel, part.head(n_genes), title=str(group))
    axes[0].set_xlim(0, 1.08 * max(part[_MEANS].head(n_genes).to_numpy().max() for part in tables.values()))
    label = f"mean impact ({IMPACT})"
    if len(axes) == 1:
        axes[0].set_xlabel(label)
        if not ours:
            axes[0].set_ylim(bottom=-0.6 + (axes[0].get_ylim()[0] + 0.6) / 0.78)  # room for the legend below the genes
        axes[0].legend(handles=_handles(), **(BESIDE if ours else _BELOW))
    else:
        for lowest in axes[-NCOLS:]:
            lowest.tick_params(labelbottom=True)
        axes[0].figure.supxlabel(label, fontsize="medium")
        ncols = 4 if len(axes) > 2 else 2  # as much as fits the width of the panels
        axes[0].figure.legend(
            handles=_handles(), loc="outside upper center", ncols=ncols, frameon=False, fontsize="small"
        )
    return finish(axes, ours=ours, show=show, return_fig=return_fig)


def _draw(ax: Axes, table: pd.DataFrame, title: str) -> None:
    places = range(len(table))
    ax.hlines(places, 0, table["impact_mean"], color="0.85", lw=1, zorder=1)
    ax.scatter(table["impact_mean"], places, s=_FULL * table["fraction"], color=_DOT, zorder=2)
    ax.scatter(table["expression_mean"], places, marker="|", s=70, color=_TICK, lw=1.8, zorder=3)
    ax.set_yticks(places, table["gene"], style="italic", fontsize="small")
    ax.set_ylim(len(table) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title(wrapped(title, 28), fontsize="medium")


def _handles() -> list[Artist]:
    from matplotlib.lines import Line2D

    def dot(fraction: float, label: str) -> Line2D:
        return Line2D([], [], ls="none", marker="o", color=_DOT, ms=(_FULL * fraction) ** 0.5, mew=0, label=label)

    return [
        *(dot(fraction, f"impact, gene in {fraction:.0%} of cells") for fraction in (0.25, 0.5, 1.0)),
        Line2D([], [], ls="none", marker="|", color=_TICK, ms=8, mew=1.8, label="share of expression"),
    ]
