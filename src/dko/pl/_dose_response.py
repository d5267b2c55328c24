"""Knockdowns: effects against the dose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import get
from .._core import keys
from .._core.messages import listed
from .._core.verb import verb
from ._panels import IMPACT, dot, dress, panels, series

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

    from .._core.names import Knockouts
    from ._panels import Drawn

# Of each height its column in the table, and its label.
_HEIGHTS = {
    "impact": ("impact_mean", f"impact ({IMPACT})"),
    "downstream": ("downstream_mean", f"downstream impact ({IMPACT})"),
    "distance": ("distance", "length of the mean change"),
    "n_changed": ("n_changed", "genes that change"),
    "latent": ("latent", "length of the latent shift"),
}


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
    """Draw the effect of knockouts against their dose, a curve per knockout.

    For one knockout a second panel has the genes that change most. Impacts are means over cells; the band of the impact
    is its quartiles.

    Parameters
    ----------
    adata
        After :func:`dko.tl.dose_response`.
    genes
        Knockouts; all that have been computed by default.
    y
        ``"impact"``, own share included, ``"downstream"``, of the other genes alone, ``"distance"``, ``"n_changed"``
        or, where the model has a latent space, ``"latent"``.
    n_responders
        Genes in the second panel; 0 for no such panel, which there is not with `ax` either.
    %(plot)s
    """
    table = get.dose_response(adata, genes, key=key, mod=mod)
    known = [name for name, (column, _) in _HEIGHTS.items() if column in table]
    if y not in known:
        raise ValueError(f"y={y!r} must be one of {listed(known)}.")
    labels = list(dict.fromkeys(table["knockout"]))
    second = len(labels) == 1 and n_responders > 0 and ax is None
    drawn = panels(1 + second, ax, size=(4.6, 3.4), what="kind of curve")
    first, (column, label) = drawn.axes[0], _HEIGHTS[y]
    for number, (_, part) in enumerate(table.groupby("knockout", sort=False, observed=True)):
        first.plot(part["dose"], part[column], ms=3.5, lw=1.6, **series(number))
        if y == "impact":
            color = series(number)["color"]
            first.fill_between(part["dose"], part["impact_q25"], part["impact_q75"], color=color, alpha=0.15, lw=0)
    dress(first, labels[0] if len(labels) == 1 else "", "dose", label)
    first.set_ylim(bottom=0)
    names = labels
    if second:
        changes = get.dose_response(adata, labels, responders=True, key=key, mod=mod)
        names = list(dict.fromkeys(changes["gene"]))[:n_responders]
        for number, gene in enumerate(names):
            part = changes[changes["gene"] == gene]
            drawn.axes[1].plot(part["dose"], part["change"], ms=3.5, lw=1.6, **series(number))
        drawn.axes[1].axhline(0, color="0.6", lw=0.8, zorder=0)
        dress(drawn.axes[1], f"genes that change most with {labels[0]}", "dose", "mean change of log expression")
    if len(names) > 1:
        handles = [dot(label=name, ms=3.5, ls="-", **series(number)) for number, name in enumerate(names)]
        drawn.legend(handles, "beside", prop={"style": "italic" if second else "normal", "size": "small"})
    return drawn.finish(show, return_fig)
