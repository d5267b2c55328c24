"""The impact of a knockout in each cell, from the largest to the smallest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import get
from .._core import keys
from .._core.cells import unwrap
from .._core.messages import many
from ._embedding import group_colors, grouped_cells, points
from ._panels import IMPACT, dot, dress, panels, wrapped
from ._style import BLUE, plot

if TYPE_CHECKING:
    from .._typing import AnnData, Axes, MuData, Sequence

_LABELS = {True: f"downstream impact\n({IMPACT})", False: f"impact\n({IMPACT})"}


@plot
def waterfall(
    adata: AnnData | MuData,
    genes: str | Sequence[str],
    *,
    groupby: str | None = None,
    downstream: bool = True,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    ncols: int = 2,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Any:
    """Draw the impact of knockouts in each cell that has one, in descending order, a panel per knockout.

    All panels have one scale. Groups stand side by side, each as wide as it has cells, the one with the largest median
    first; a white line is the median. At most 50,000 cells, chosen at random, are drawn; the title then says so.

    Parameters
    ----------
    adata
        After :func:`dko.tl.virtual_ko` or :func:`dko.tl.scan`.
    genes, downstream
        One or several labels, and which impacts, as in :func:`dko.get.impact`.
    groupby
        ``obs`` column, such as cell types, in the colours of ``uns``; cells without a group are left out.
    %(ncols)s
    %(plot)s

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.tl.virtual_ko(adata, ["CD74", "NKG7"])
    >>> dko.pl.waterfall(adata, ["CD74", "NKG7"], groupby="cell_type")
    """
    target = unwrap(adata, mod)
    table = get.impact(target, genes, downstream=downstream, key=key)
    groups, colors = _groups(target, groupby)
    drawn = panels(table.shape[1], ax, size=(4.6, 3.2), ncols=ncols, what="knockout", sharey=True)
    for panel, (label, values) in zip(drawn.axes, table.items(), strict=True):
        known = values.notna().to_numpy() & pd.notna(groups)
        shown, note = points(known)
        cells = pd.DataFrame({"impact": values.to_numpy()[shown], "group": groups[shown]})
        medians = cells.groupby("group", observed=True)["impact"].median().sort_values(ascending=False, kind="stable")
        start = 0
        for group in medians.index:
            heights = np.sort(cells.loc[cells["group"] == group, "impact"])[::-1]
            edges = np.arange(start, start + len(heights) + 1)
            panel.stairs(heights, edges, fill=True, color=colors[group])
            panel.hlines(medians[group], edges[0], edges[-1], color="white", lw=1)
            start = edges[-1]
        panel.set_xlim(0, max(start, 1))
        dress(panel, wrapped(f"{label} ({many(known.sum(), 'cell')}){note}", 40), "cells", _LABELS[downstream])
    for panel in drawn.axes:  # only now: whoever sets one end of a shared scale fixes the other
        panel.set_ylim(bottom=0)
    if groupby is not None:
        drawn.legend([dot(color, group, mew=0) for group, color in colors.items()], "beside")
    drawn.label_outer()
    return drawn.finish(show, return_fig)


def _groups(adata: AnnData, groupby: str | None) -> tuple[np.ndarray, dict[str, str]]:
    """Return the name of the group of each cell, and the colour of each group."""
    if groupby is None:
        return np.full(adata.n_obs, ""), {"": BLUE}
    cells = grouped_cells(adata, groupby, "none", np.zeros((adata.n_obs, 2)))
    return cells.obs[groupby].to_numpy(dtype=object), group_colors(cells, groupby)
