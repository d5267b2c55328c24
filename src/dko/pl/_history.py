"""Loss curves of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import get
from .._core import keys
from .._core.cells import unwrap
from .._core.fitted import apart, read_fitted
from .._core.verb import verb
from ._finish import BESIDE, COLORS, IMPACT, INSIDE, MARKERS, finish, panels

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D
    from mudata import MuData

    from ._finish import Drawn


@verb
def history(
    adata: AnnData | MuData,
    *,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw training (thin) and validation loss (thick) of a fit, and mark the best point, whose weights were kept.

    Against epochs, which compare groups of different size, where there was one validation per pass over the cells;
    otherwise against steps. One colour per model where the fit has several, of groups or members.

    Parameters
    ----------
    adata
        After :func:`dko.tl.fit`.
    %(fit)s
    ax, show, return_fig
        As in :func:`dko.pl.impact`.

    Returns
    -------
    None if shown, the figure with `return_fig`, otherwise the axes.

    Raises
    ------
    KeyError
        No fit.
    """
    from matplotlib.ticker import MaxNLocator

    table = get.history(adata, key=key, mod=mod)
    curves = apart(table)
    time = "step" if any(curve["epoch"].duplicated().any() for curve in curves.values()) else "epoch"
    several = "" not in curves
    axes, ours = panels(1, ax, size=(7.0 if several else 5.0, 3.8), what="fit")
    panel = axes[0]
    for number, (name, curve) in enumerate(curves.items()):
        _draw(panel, curve, time, name, number)
    panel.set(xlabel=time, ylabel="loss" if read_fitted(unwrap(adata, mod), key).model.log else f"loss ({IMPACT})")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(handles=_handles(panel, several), **(BESIDE if ours and several else INSIDE))
    return finish(axes, ours=ours, show=show, return_fig=return_fig)


def _draw(ax: Axes, curve: pd.DataFrame, time: str, name: str, number: int) -> None:
    """Draw one fit; colours come back after seven of them, with another marker."""
    color = COLORS[number % len(COLORS)]
    marker = MARKERS[number // len(COLORS) % len(MARKERS)]
    best = curve.loc[curve["validation_loss"].idxmin()]
    ax.plot(curve[time], curve["train_loss"], color=color, lw=0.8, alpha=0.6, label="_training")
    ax.plot(curve[time], curve["validation_loss"], color=color, lw=1.6, label="_validation")
    label = name or f"best: {best['validation_loss']:.3f} at {time} {int(best[time]):,}"
    ax.plot(
        best[time], best["validation_loss"], marker, color=color, mec="white", ms=8, ls="none", label=label, zorder=3
    )


def _handles(ax: Axes, several: bool) -> list[Line2D]:
    """Say which line is which, and which marker is whose best point."""
    from matplotlib.lines import Line2D

    color = "0.4" if several else COLORS[0]
    return [
        Line2D([], [], color=color, lw=0.8, alpha=0.6, label="training"),
        Line2D([], [], color=color, lw=1.6, label="validation"),
        *(line for line in ax.lines if not str(line.get_label()).startswith("_")),
    ]
