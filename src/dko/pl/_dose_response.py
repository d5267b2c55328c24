"""Knockdown by degrees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import get
from .._core import keys
from .._core.messages import listed
from .._core.verb import verb
from ._finish import BESIDE, COLORS, IMPACT, INSIDE, MARKERS, finish, panels, wrapped

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

    from .._core.names import Knockouts
    from ._finish import Drawn

_LABELS = {
    "impact": f"impact ({IMPACT})",
    "downstream": f"downstream impact ({IMPACT})",
    "distance": "length of the mean change",
    "n_changed": "genes that change",
    "latent": "length of the latent shift",
}
# Columns of the table that are not named as what is drawn.
_COLUMNS = {"impact": "impact_mean", "downstream": "downstream_mean"}
_WHISKERS = ["impact_q25", "impact_q75"]


@verb
def dose_response(
    adata: AnnData | MuData,
    genes: Knockouts | None = None,
    *,
    y: str = "impact",
    n_responders: int = 6,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw how much a knockout does against its dose, a curve per knockout.

    For one knockout a second panel has the genes that change most. Impacts are means over cells; the
    band of the impact is its quartiles.

    Parameters
    ----------
    adata
        After :func:`dko.tl.dose_response`.
    genes
        Knockouts; all that have been computed by default.
    y
        ``"impact"``, which grows to the gene's own share and beyond, ``"downstream"``, of the other genes alone,
        ``"distance"``, ``"n_changed"`` or, with ``model="sccvae"``, ``"latent"``.
    n_responders
        Genes in the second panel; 0 for no such panel.
    %(results)s
    ax, show, return_fig
        As in :func:`dko.pl.impact`; with `ax` there is no second panel.

    Returns
    -------
    None if shown, the figure with `return_fig`, otherwise the axes (a list of two with the second panel).

    Raises
    ------
    KeyError
        No doses were computed, or none of such a knockout.
    ValueError
        No such `y`.
    """
    table = get.dose_response(adata, genes, key=key, mod=mod)
    known = [name for name in _LABELS if _COLUMNS.get(name, name) in table]
    if y not in known:
        raise ValueError(f"y={y!r} must be one of {listed(known)}.")
    labels = list(dict.fromkeys(table["knockout"]))
    second = len(labels) == 1 and n_responders > 0 and ax is None
    axes, ours = panels(1 + second, ax, size=(4.6, 3.4), what="kind of curve")
    _curves(axes[0], table, labels, y, ours)
    if second:
        changes = get.dose_response(adata, labels, responders=True, key=key, mod=mod)
        _responders(axes[1], changes, n_responders, labels[0])
    return finish(axes, ours=ours, show=show, return_fig=return_fig)


def _style(number: int) -> dict[str, Any]:
    return {
        "color": COLORS[number % len(COLORS)],
        "marker": MARKERS[number // len(COLORS) % len(MARKERS)],
    }


def _curves(ax: Axes, table: pd.DataFrame, labels: list[str], y: str, ours: bool) -> None:
    column = _COLUMNS.get(y, y)
    for number, label in enumerate(labels):
        part = table[table["knockout"] == label]
        style = _style(number)
        ax.plot(part["dose"], part[column], ms=3.5, lw=1.6, label=label, **style)
        if y == "impact":
            ax.fill_between(part["dose"], *(part[end] for end in _WHISKERS), color=style["color"], alpha=0.15, lw=0)
    _dress(ax, _LABELS[y])
    ax.set_ylim(bottom=0)
    if len(labels) == 1:
        ax.set_title(wrapped(labels[0], 36), fontsize="medium")
    else:
        columns = -(-len(labels) // 16)
        ax.legend(**{**(BESIDE if ours else INSIDE), "ncols": columns})


def _responders(ax: Axes, table: pd.DataFrame, n_genes: int, label: str) -> None:
    for number, gene in enumerate(list(dict.fromkeys(table["gene"]))[:n_genes]):
        part = table[table["gene"] == gene]
        ax.plot(part["dose"], part["change"], ms=3.5, lw=1.6, label=gene, **_style(number))
    ax.axhline(0, color="0.6", lw=0.8, zorder=0)
    _dress(ax, "mean change of log expression")
    ax.set_title(wrapped(f"genes that change most with {label}", 36), fontsize="medium")
    ax.legend(**{**BESIDE, "prop": {"style": "italic", "size": "small"}})


def _dress(ax: Axes, label: str) -> None:
    ax.set_xlabel("dose")
    ax.set_ylabel(label)
    ax.spines[["top", "right"]].set_visible(False)
