"""What all plots share: panels to draw in, colours to draw with, and what is handed back."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    Drawn: TypeAlias = Any
    """Axes (a list for several panels), a figure, or None: which one depends on what was asked for."""

IMPACT = "Bray-Curtis, 0 to 1"
SHARE = "share of the cell's expression"

# Okabe and Ito's colours, told apart by all kinds of colour vision; without their yellow, which is pale on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# For series beyond the number of colours.
MARKERS = ("o", "^", "s", "D", "v", "P", "X")

NCOLS = 4

# Where a legend goes: beside the axes in a figure of ours, whose layout makes room for it; inside the user's axes.
BESIDE: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "frameon": False, "fontsize": "small"}
INSIDE: dict[str, Any] = {"loc": "upper right", "frameon": False, "fontsize": "small"}


def panels(
    n: int, ax: Axes | None, *, size: tuple[float, float], ncols: int = NCOLS, what: str, **kwargs: Any
) -> tuple[list[Axes], bool]:
    """Return `n` panels to draw in, and whether their figure is ours.

    Parameters
    ----------
    n
        Number of panels.
    ax
        Where the user wants the one panel.
    size
        Width and height of a panel in inches, for a figure of our own.
    ncols
        Most panels beside each other.
    what
        What there is a panel of, for the error.
    kwargs
        Passed on to :func:`matplotlib.pyplot.subplots`.

    Raises
    ------
    ValueError
        `ax` is given for several panels; there is nothing to draw.
    """
    import matplotlib.pyplot as plt

    if ax is not None:
        if n > 1:
            raise ValueError(f"ax=... has room for one panel, but there are {n}, one per {what}; leave ax out.")
        return [ax], False
    if not n:
        raise ValueError(f"There is nothing to draw: no {what} is named.")
    ncols = min(n, ncols)
    nrows = -(-n // ncols)
    figure, grid = plt.subplots(
        nrows, ncols, figsize=(size[0] * ncols, size[1] * nrows), squeeze=False, layout="constrained", **kwargs
    )
    for unused in grid.flat[n:]:
        figure.delaxes(unused)
    return list(grid.flat[:n]), True


def wrapped(title: str, width: int) -> str:
    """Break a long title between words."""
    return textwrap.fill(title, width, break_long_words=False, break_on_hyphens=False)


def finish(axes: list[Axes], *, ours: bool, show: bool | None, return_fig: bool) -> Drawn:
    """Show or hand back what was drawn, as scanpy does; axes that the user gave are shown only when he says so."""
    import matplotlib.pyplot as plt

    figure = axes[0].figure.figure
    if return_fig:
        if ours:
            plt.close(figure)  # pyplot forgets it, so that a notebook shows it once; it can still be saved
        return figure
    if show is None:
        show = ours and _autoshow()
    if show:
        plt.show()
        return None
    return axes[0] if len(axes) == 1 else axes


def _autoshow() -> bool:
    import scanpy as sc

    return sc.settings.autoshow
