"""Mean profiles of cells before and after knockouts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.ticker import LogLocator, NullFormatter

from .. import get
from .._compat import layer_names
from .._core import keys
from .._core.cells import row_blocks
from .._core.knockouts import open_model
from .._core.messages import many
from .._core.names import known_labels, members
from ..models.rows import profiles as relative
from ._panels import dot, dress, name_rows, panels
from ._style import DARK, FALLS, RISES, plot

if TYPE_CHECKING:
    from scipy import sparse

    from .._typing import AnnData, Axes, Groups, Knockouts, MuData, Predictor, Sequence

_BEFORE = DARK
# Range of shares up to which 1, 2 and 5 are written, beyond it powers of ten alone.
_FEW_FOLD = 40.0


@plot
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
) -> Any:
    """Draw the mean profile before and after knockouts, of the genes that change most, what rises most on top.

    The mean is over the cells with the knockout; both profiles are renormalised without the knocked-out genes, as in
    :func:`dko.get.effects`. Beside the levels, unless `ax` is given, are their changes in per cent. Panels
    beside each other have one scale.

    Parameters
    ----------
    adata
        After :func:`dko.tl.virtual_ko` of these knockouts, with their profiles.
    genes
        One or several knockouts, as in :func:`dko.tl.virtual_ko`, or their labels.
    groups
        Cells, as in :func:`dko.tl.virtual_ko`; by default all that were knocked out.
    n_genes
        Genes per panel, by the change of log1p(1e4 * mean share).
    %(compute)s
    %(ncols)s
    %(plot)s

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.tl.virtual_ko(adata, "CD74")
    >>> dko.pl.profile(adata, "CD74", n_genes=10)
    """
    opened = open_model(adata, key, mod, groups, device=device)
    start = keys.ko_layer(key, "")
    known = [keys.unescape(name.removeprefix(start)) for name in layer_names(opened.adata) if name.startswith(start)]
    call = f"dko.tl.virtual_ko(adata, ..., key={key!r})"
    labels = known_labels(genes, known, f"the profiles of key {key!r}", call)
    impacts = get.impact(opened.adata, labels, key=key)
    cells = {label: impacts[label].notna().to_numpy() & opened.cells for label in labels}
    if none := [label for label, some in cells.items() if not some.any()]:
        raise ValueError(f"No such cell expresses {none[0]!r}, or was knocked out; choose other groups.")
    means = _means_before(opened, cells)
    tables = {
        f"{label} ({many(some.sum(), 'cell')})": _changed_most(_profiles(opened, label, before, some), n_genes)
        for (label, some), before in zip(cells.items(), means, strict=True)
    }
    size = (2.7, 1.3 + 0.22 * max(map(len, tables.values())))
    columns, of_each = min(len(tables), ncols), 1 if ax is not None else 2
    layout: dict[str, Any] = {"ncols": 2 * columns, "width_ratios": [1, 0.6] * columns}
    drawn = panels(len(tables) * of_each, ax, size=size, what="knockout", **layout)
    for number, (title, table) in enumerate(tables.items()):
        axes = drawn.axes[number * of_each : (number + 1) * of_each]
        for panel, first in zip(axes if number else [], drawn.axes, strict=False):
            panel.sharex(first)
        _draw_profile(axes, table, title)
    for panel in drawn.axes[::of_each]:
        _mark_shares(panel)
    drawn.legend([dot(_BEFORE, "before", mfc="white"), dot(FALLS, "after: falls"), dot(RISES, "after: rises")])
    return drawn.finish(show, return_fig)


def _mark_shares(ax: Axes) -> None:
    """Write no more numbers on a log axis than fit beside each other."""
    low, high = ax.get_xlim()
    if high / low < _FEW_FOLD:
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())


def _means_before(opened: Predictor, cells: dict[str, np.ndarray]) -> np.ndarray:
    """Return the mean profile before each knockout, without its genes, of some cells, a mask for each."""
    sums = np.zeros((len(cells), len(opened.model.genes)))
    kept = [_others(opened, label) for label in cells]
    for rows, values in opened.before_blocks():
        for total, others, some in zip(sums, kept, cells.values(), strict=True):
            total[others] += _sum_of_shares(opened, values[some[rows]][:, others])
    return sums / np.array([[some.sum()] for some in cells.values()])


def _profiles(opened: Predictor, label: str, before: np.ndarray, cells: np.ndarray) -> pd.DataFrame:
    """Return the mean profiles `before` and after a knockout in some cells, a mask, without its genes."""
    others, sums = _others(opened, label), np.zeros(len(opened.model.genes))
    for rows, values in row_blocks(opened.adata.layers[keys.ko_layer(opened.fitted.key, label)]):
        sums[others] += _sum_of_shares(opened, values[cells[rows]][:, opened.columns[others]])
    table = pd.DataFrame({"before": before, "after": sums / cells.sum()}, index=np.array(opened.model.genes, object))
    return table[others]


def _others(opened: Predictor, label: str) -> np.ndarray:
    genes = opened.model.genes
    return ~np.isin(genes, members(label, set(genes)))


def _sum_of_shares(opened: Predictor, values: sparse.csr_matrix) -> np.ndarray:
    shares = relative(values.expm1() if opened.model.log else values)
    return np.asarray(shares.sum(axis=0, dtype=np.float64)).ravel()


def _changed_most(table: pd.DataFrame, n_genes: int) -> pd.DataFrame:
    table["change"] = np.log1p(1e4 * table["after"]) - np.log1p(1e4 * table["before"])
    table["color"] = np.where(table["change"] < 0, FALLS, RISES)
    table = table[table["before"] > 0]  # others are in none of these cells
    table = table.sort_values("change", key=np.abs, ascending=False, kind="stable").head(n_genes)
    return table.sort_values("change", ascending=False, kind="stable")


def _draw_profile(axes: Sequence[Axes], table: pd.DataFrame, title: str) -> None:
    """Draw mean shares before and after on a log axis and, beside it, changes that are too small to see there."""
    (ax, *others), places = axes, range(len(table))
    ax.hlines(places, table["before"], table["after"], colors=table["color"], lw=1.4, zorder=1)
    ax.scatter(table["before"], places, s=30, c="white", edgecolors=_BEFORE, linewidths=1.2, zorder=2)
    ax.scatter(table["after"], places, s=14, c=table["color"], zorder=3)
    ax.set_xscale("log")
    ax.margins(x=0.08)
    dress(ax, title, "mean share of the cell's expression")
    name_rows(ax, table.index)
    for beside in others:
        beside.barh(places, 100 * (table["after"] / table["before"] - 1), color=table["color"], height=0.6)
        beside.axvline(0, color=DARK, lw=0.8)
        beside.locator_params(axis="x", nbins=4)
        dress(beside, xlabel="change in %")
        name_rows(beside, table.index)
        beside.set_yticks([])
        beside.spines["left"].set_visible(False)
