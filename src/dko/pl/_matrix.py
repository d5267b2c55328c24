"""Matrices in colour, similar rows and columns side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

# Inches of a row, and of a column; of a dendrogram; of the colour bar and the space beside it.
ROW, COLUMN = 0.24, 0.2
_TREE, _BAR, _SPACE = 0.35, 0.14, 0.1
# Share of the values within the limits of the colours, which a few large ones do not set.
_USUAL = 0.97


def draw_matrix(
    ax: Axes,
    values: pd.DataFrame,
    *,
    label: str,
    signed: bool,
    ordered: bool = True,
    italic_rows: bool = False,
    fontsize: float | str = "small",
    **kwargs: Any,
) -> pd.DataFrame:
    """Draw a matrix with a labelled colour bar and, if `ordered`, the trees of its rows and columns; return it so.

    Colours are around 0 if `signed`, else from 0; NaN is grey, and counts as 0 for the order. seaborn and marsilea draw
    such heat maps too, but in figures that they make, not in the axes of a user.
    """
    width, height = (float(side) / ax.figure.dpi for side in ax.bbox.size)
    by_row, by_column = (_linkage(side) if ordered else None for side in (values, values.T))
    beside = _draw_tree(ax, by_row, (1, 0, _TREE / width, 1), "right")
    above = _draw_tree(ax, by_column, (0, 1, 1, _TREE / height), "top")
    values = values.iloc[beside or slice(None), above or slice(None)]
    numbers = values.to_numpy(dtype=float)
    sizes = np.abs(numbers[np.isfinite(numbers) & (numbers != 0)])
    most = float(np.quantile(sizes, _USUAL)) if len(sizes) else 1.0
    limits = {} if "norm" in kwargs else {"vmin": -most if signed else 0.0, "vmax": most}  # one or the other
    colors = {"cmap": "RdBu_r" if signed else "viridis", **limits, **kwargs}
    image = ax.imshow(numbers, **{"aspect": "auto", "interpolation": "none", **colors})
    ax.set_facecolor("0.85")
    ax.set_xticks(range(values.shape[1]), values.columns, rotation=90, style="italic", fontsize=fontsize)
    style = "italic" if italic_rows else "normal"
    ax.set_yticks(range(len(values)), values.index, style=style, fontsize=fontsize)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    low, high = image.get_clim()
    extend = {(1, 1): "both", (1, 0): "min", (0, 1): "max"}.get(((numbers < low).any(), (numbers > high).any()))
    bar = ax.inset_axes((1 + (_TREE * bool(beside) + _SPACE) / width, 0, _BAR / width, 1))
    ax.figure.colorbar(image, cax=bar, extend=extend or "neither").set_label(label, fontsize="small")
    bar.tick_params(labelsize="small")
    return values


def _linkage(values: pd.DataFrame) -> np.ndarray | None:
    """Return average linkage of rows scaled to one length, as those of one kind are similar whatever their size."""
    from scipy.cluster.hierarchy import linkage

    if len(values) < 3:
        return None
    numbers = values.fillna(0.0).to_numpy(dtype=float)
    lengths = np.linalg.norm(numbers, axis=1, keepdims=True)
    return linkage(numbers / np.where(lengths > 0, lengths, 1.0), method="average", optimal_ordering=True)


def _draw_tree(
    ax: Axes, merged: np.ndarray | None, bounds: tuple[float, float, float, float], side: str
) -> list[int] | None:
    """Draw a tree above or to the right of a matrix; return the order of its leaves."""
    from scipy.cluster.hierarchy import dendrogram

    if merged is None:
        return None
    beside = ax.inset_axes(bounds)
    style = {"color_threshold": 0, "above_threshold_color": "0.4", "no_labels": True}
    leaves = dendrogram(merged, ax=beside, orientation=side, **style)["leaves"]
    beside.collections[0].set_linewidth(0.8)
    if side == "right":
        beside.invert_yaxis()  # the first row is on top
    beside.set_axis_off()
    return leaves
