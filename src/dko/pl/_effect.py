"""Genes that knockouts change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from .. import get
from .._core import keys
from .._core.verb import verb
from ._clustered import COLUMN, ROW, draw_clustered
from ._finish import NCOLS, finish, panels
from ._volcano import draw_volcano, name_points, volcano_handles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

    from ._finish import Drawn

_CHANGE = "mean change of log1p(10,000 × share)"
# Names in a volcano, columns of a heatmap.
_N_GENES = {"volcano": 10, "heatmap": 40}


@verb
def effect(
    adata: AnnData | MuData,
    gene: str | Sequence[str] | None = None,
    *,
    kind: str = "volcano",
    group: str | Sequence[str] | None = None,
    n_genes: int | None = None,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    ncols: int = NCOLS,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
    **kwargs: Any,
) -> Drawn:
    """Draw which genes knockouts change, in which direction and how surely.

    Parameters
    ----------
    adata
        After :func:`dko.tl.affected_genes`.
    gene
        A knockout, or a list of them; by default all that there are.
    kind
        ``"volcano"``: a panel per knockout (and group), the predicted change of each gene against how surely it is
        co-expressed with the knocked-out one in the cells. Coloured above the line of a false discovery rate of 5 %;
        pale where more than 5 % of other knockouts change the gene as much, dark grey where the co-expression has the
        other sign.
        ``"heatmap"``: knockouts (and groups) x the genes that change most in any of them, like ones side by side; the
        knocked-out gene itself is grey.
    group
        A group, or a list of them, where :func:`dko.tl.affected_genes` was run per group; by default all.
    n_genes
        Genes to name in each volcano, 10 by default: those that change most among the coloured; or genes in the
        heatmap, 40 by default.
    %(results)s
    ncols
        Most volcanoes beside each other.
    ax, show, return_fig
        As in :func:`dko.pl.impact`; `ax` for one volcano, or the heatmap.
    kwargs
        Passed on to :meth:`matplotlib.axes.Axes.scatter` for the points of the volcano (``s``, ``alpha`` and so on), or
        to :meth:`matplotlib.axes.Axes.imshow` for the heatmap.

    Returns
    -------
    None if shown, the figure with `return_fig`, otherwise the axes (a list for several volcanoes).

    Raises
    ------
    KeyError
        There are no affected genes, or not of this knockout or group.
    ValueError
        No such kind of plot; `n_genes` below 0, or below 1 for the heatmap; `ax` with several volcanoes.
    """
    if kind not in _N_GENES:
        raise ValueError(f"kind={kind!r} must be 'volcano' or 'heatmap'.")
    n_genes = _N_GENES[kind] if n_genes is None else n_genes
    if n_genes < (kind == "heatmap"):
        raise ValueError(f"n_genes={n_genes} must be at least {int(kind == 'heatmap')}.")
    table = get.affected_genes(adata, gene, group=group, key=key, mod=mod)
    draw = _heatmap if kind == "heatmap" else _volcanoes
    axes, ours = draw(table, n_genes, ncols, ax, kwargs)
    return finish(axes, ours=ours, show=show, return_fig=return_fig)


def _heatmap(
    table: pd.DataFrame, n_genes: int, ncols: int, ax: Axes | None, kwargs: dict[str, Any]
) -> tuple[list[Axes], bool]:
    values = _matrix(table, n_genes)
    rows, columns = values.shape
    axes, ours = panels(1, ax, size=(2.6 + COLUMN * columns, 1.6 + ROW * rows), what="heatmap")
    label = _CHANGE.replace("of", "of\n", 1)
    draw_clustered(axes[0], values, label=label, signed=True, italic=("group" not in table, True), **kwargs)
    return axes, ours


def _volcanoes(
    table: pd.DataFrame, n_genes: int, ncols: int, ax: Axes | None, kwargs: dict[str, Any]
) -> tuple[list[Axes], bool]:
    tables = _tables(table)
    axes, ours = panels(len(tables), ax, size=(4.0, 3.9), ncols=ncols, what="knockout and group")
    for panel, (title, part) in zip(axes, tables.items(), strict=True):
        draw_volcano(panel, part, title, **kwargs)
        panel.set_xlabel(_CHANGE)
    handles = volcano_handles(table)
    if ours:
        columns = 3 if len(axes) > 1 else 2
        axes[0].figure.legend(
            handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize="small"
        )
    else:
        axes[0].legend(handles=handles, loc="upper right", frameon=False, fontsize="x-small")
    for panel, part in zip(axes, tables.values(), strict=True):
        name_points(panel, part, n_genes)
    return axes, ours


def _tables(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the rows of each knockout (in each group)."""
    names = ["knockout", *(["group"] if "group" in table else [])]
    parts = table.groupby(names, observed=True, sort=False)
    return {f"{name[0]} in {name[1]}" if len(name) > 1 else name[0]: part for name, part in parts}


def _matrix(table: pd.DataFrame, n_genes: int) -> pd.DataFrame:
    """Return knockouts (and groups) x the genes that change most in any; NaN for a knocked-out gene itself."""
    parts = {
        title: part.set_index(part["gene"].astype(str))["change"].astype(float)
        for title, part in _tables(table).items()
    }
    frame = pd.DataFrame(parts).T
    # By rank, so that no knockout that does much to many genes takes all places.
    best = frame.abs().rank(axis=1, ascending=False).min().sort_values(kind="stable")
    return frame[best.index[:n_genes]]
