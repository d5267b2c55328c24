"""Profiles before and after a knockout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from .. import get
from .._compat import layer_names
from .._core import keys
from .._core.cells import profiles as relative
from .._core.cells import unwrap
from .._core.fitted import gene_columns, read_fitted
from .._core.groups import select_cells
from .._core.knockouts import require_ability
from .._core.messages import unknown
from .._core.names import labels_of, members
from .._core.verb import verb
from ._finish import finish, panels
from ._profile_panels import draw_changes, draw_levels, profile_handles

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

    from .._core.fitted import Fitted
    from .._core.groups import Groups
    from .._core.names import Knockouts
    from ._finish import Drawn


@verb
def profile(
    adata: AnnData | MuData,
    genes: Knockouts,
    *,
    groups: Groups = None,
    n_genes: int = 20,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    device: str = "auto",
    ncols: int = 2,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw the mean profile before and after knockouts, of the genes that change most.

    The mean is over the cells that express the gene; it is taken out of both profiles and both are renormalised, as in
    :func:`dko.get.effects`: otherwise all other genes would rise to fill its gap. Genes are chosen by the change of
    log1p(1e4 * mean share), and what rises most is on top; beside their levels is the change of these in per cent.

    Parameters
    ----------
    adata
        After :func:`dko.tl.virtual_ko` of these knockouts, with their profiles.
    genes
        One or several knockouts, as in :func:`dko.tl.virtual_ko`, or their labels.
    groups
        Cells, as in :func:`dko.tl.virtual_ko`; by default all that were knocked out.
    n_genes
        Genes per panel.
    key, mod, device
        Where the results are; where to compute the profiles before.
    ncols
        Most knockouts beside each other.
    ax, show, return_fig
        As in :func:`dko.pl.impact`; `ax` for the levels of one knockout, without their changes.

    Returns
    -------
    None if shown, the figure with `return_fig`, otherwise the axes: for each knockout two, of levels and of changes.

    Raises
    ------
    KeyError
        No fit, no profiles of such a knockout, no such group.
    ValueError
        No such cell expresses a gene; `ax` with several knockouts; `n_genes` below 1; the other model.
    """
    if n_genes < 1:
        raise ValueError(f"n_genes={n_genes} must be at least 1.")
    target = unwrap(adata, mod)
    fitted = read_fitted(target, key)
    require_ability(fitted.model, key, "reconstruct")
    labels = _labels(target, genes, key)
    cells = select_cells(adata, mod, fitted.params.get("groupby"), groups)
    before = get.profiles(target, key=key, device=device).layers["before"]
    tables = {label: _means(target, fitted, label, before, cells, n_genes) for label in labels}
    rows = max(len(table) for table, _ in tables.values())
    # With axes of the user there is no second panel.
    columns = min(len(tables), ncols)
    axes, ours = panels(
        len(tables) if ax is not None else 2 * len(tables),
        ax,
        size=(2.7, 1.3 + 0.22 * rows),
        ncols=2 * columns,
        what="knockout",
        width_ratios=[1.0, 0.6] * columns,
    )
    for number, (label, (table, n_cells)) in enumerate(tables.items()):
        draw_levels(axes[number * (1 + ours)], table, f"{label} ({n_cells:,} cells)")
        if ours:
            draw_changes(axes[2 * number + 1], table)
    if ours:
        axes[0].figure.legend(
            handles=profile_handles(), loc="outside lower center", ncols=3, frameon=False, fontsize="small"
        )
    else:
        axes[0].legend(handles=profile_handles(), loc="best", frameon=False, fontsize="x-small")
    return finish(axes, ours=ours, show=show, return_fig=return_fig)


def _labels(adata: AnnData, genes: Knockouts, key: str) -> list[str]:
    start = keys.ko_layer(key, "")
    known = [keys.unescape(name.removeprefix(start)) for name in layer_names(adata) if name.startswith(start)]
    labels = [label if label in known else keys.label(label.split("+")) for label in labels_of(genes)]
    if missing := [label for label in dict.fromkeys(labels) if label not in known]:
        raise KeyError(
            f"{unknown('knockout', missing, known, 'the profiles of key ' + repr(key))} "
            f"Run dko.tl.virtual_ko(adata, ..., key={key!r}) for it first."
        )
    return list(dict.fromkeys(labels))


def _means(
    adata: AnnData, fitted: Fitted, label: str, before: sparse.csr_matrix, cells: np.ndarray, n_genes: int
) -> tuple[pd.DataFrame, int]:
    """Return mean shares before and after of the genes that change most, and the number of cells."""
    rows = np.flatnonzero(cells & get.impact(adata, label, key=fitted.key).notna().to_numpy().ravel())
    if not len(rows):
        raise ValueError(f"No such cell expresses {label!r}, or was knocked out; choose other groups.")
    after = sparse.csr_matrix(adata.layers[keys.ko_layer(fitted.key, label)])[rows][:, gene_columns(adata, fitted)]
    kept = ~np.isin(fitted.genes, members(label, set(fitted.genes)))
    means = [np.asarray(relative(found[:, kept]).mean(axis=0)).ravel() for found in (before[rows], after)]
    table = pd.DataFrame({"before": means[0], "after": means[1]}, index=np.array(fitted.genes, dtype=object)[kept])
    table["change"] = np.log1p(1e4 * table["after"]) - np.log1p(1e4 * table["before"])
    table = table[table["before"] > 0]  # others are in none of these cells
    largest = table["change"].abs().sort_values(ascending=False, kind="stable").index[:n_genes]
    return table.loc[largest].sort_values("change", ascending=False, kind="stable"), len(rows)
