"""Keystone genes of groups of cells side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import get
from .._core import keys
from .._core.cells import unwrap
from .._core.messages import unknown
from .._core.results import is_ranking, ranking_at, read_params
from .._core.verb import verb
from ._clustered import COLUMN, ROW, draw_clustered
from ._finish import finish, panels
from ._values import DOWNSTREAM, FDR, LABELS, MEAN, SIGNED, chosen_value, rates

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

    from ._finish import Drawn

_VALUES = (DOWNSTREAM, MEAN, "specificity", "fraction")


@verb
def heatmap(
    adata: AnnData | MuData,
    genes: Sequence[str] | None = None,
    *,
    groupby: str | None = None,
    n_genes: int = 5,
    value: str | None = None,
    dendrogram: bool = True,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    key_added: str | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
    **kwargs: Any,
) -> Drawn:
    """Draw the downstream impact of genes in groups of cells, groups x genes, like ones side by side.

    Genes that too few cells of a group express are grey there; see `min_cells` of :func:`dko.tl.rank_genes` and
    :func:`dko.get.ranking`. What can be below 0 is drawn around 0, in other colours.

    Parameters
    ----------
    adata
        After :func:`dko.tl.scan` or :func:`dko.tl.rank_genes`.
    genes
        Genes to draw; by default the `n_genes` with the largest value in each group, before all others those of which
        there is evidence that other genes depend on them (false discovery rate of at most 5 %).
    groupby
        ``obs`` column; by default that of :func:`dko.tl.rank_genes`, or of the fit.
    n_genes
        Genes per group; many groups share some.
    value
        ``"downstream_mean"``, the default, ``"impact_mean"``, which contains the gene's own share, or ``"fraction"``,
        of the cells that express the gene; after :func:`dko.tl.rank_genes` also ``"specificity"``.
    dendrogram
        Order groups and genes by average linkage of their values, and draw the trees.
    %(results)s
    key_added
        Where :func:`dko.tl.rank_genes` has put its result, if not at ``f"{key}_ranking"``.
    ax, show, return_fig
        As in :func:`dko.pl.impact`.
    kwargs
        Passed on to :meth:`matplotlib.axes.Axes.imshow`: ``cmap``, ``vmin``, ``vmax``, ``norm`` and so on.

    Returns
    -------
    None if shown, the figure with `return_fig`, otherwise the axes.

    Raises
    ------
    KeyError
        Nothing was scanned; no such column; a gene that no group has ranked.
    ValueError
        No groups; no such value; `n_genes` below 1; no gene can be ranked.
    """
    if n_genes < 1:
        raise ValueError(f"n_genes must be at least 1, got {n_genes}.")
    groupby = groupby or _groupby(unwrap(adata, mod), key, key_added)
    table = get.ranking(adata, groupby=groupby, key=key, mod=mod, key_added=key_added)
    if "group" not in table:
        raise ValueError("A heatmap is of groups of cells; name the obs column that has them, groupby=...")
    if table.empty:
        raise ValueError("No gene to draw: none was scanned in enough cells; see min_cells of dko.get.ranking.")
    drawn = chosen_value(value, table, _VALUES)
    values = _chosen(table, drawn, genes, n_genes)
    rows, columns = values.shape
    axes, ours = panels(1, ax, size=(2.6 + COLUMN * columns, 1.6 + ROW * rows), what="heatmap")
    label = LABELS[drawn].replace(" (", "\n(")  # the bar is short where there are few groups
    draw_clustered(axes[0], values, label=label, signed=drawn in SIGNED, trees=dendrogram, **kwargs)
    return finish(axes, ours=ours, show=show, return_fig=return_fig)


def _groupby(adata: AnnData, key: str, key_added: str | None) -> str | None:
    """Return the groups of a ranking, if it has any."""
    place = key_added or keys.ranking(key)
    if not is_ranking(adata.uns.get(place)):
        return None
    groupby = read_params(adata, ranking_at(place), key)["groupby"]
    return groupby if groupby in adata.obs else None


def _chosen(table: pd.DataFrame, value: str, genes: Sequence[str] | None, n_genes: int) -> pd.DataFrame:
    """Return groups x genes."""
    if genes is None:
        found = False if (known := rates(table)) is None else known <= FDR
        sorted_table = table.assign(found=found).sort_values(["found", value], ascending=False, kind="stable")
        best = sorted_table.groupby("group", observed=True).head(n_genes)
        names = list(dict.fromkeys(best.sort_values("group", kind="stable")["gene"]))
    else:
        names = list(dict.fromkeys([genes] if isinstance(genes, str) else genes))
        if not names:
            raise ValueError("genes names no gene; leave it out for those with the largest values.")
        known = set(table["gene"])
        if missing := [name for name in names if name not in known]:
            raise KeyError(unknown("gene", missing, known, "the ranking"))
    frame = table.astype({"group": str, "gene": str}).pivot(index="group", columns="gene", values=value)
    return frame[names].rename_axis(index=None, columns=None)
