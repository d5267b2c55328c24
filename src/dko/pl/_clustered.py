"""A coloured matrix whose rows and columns are in the order of their likeness."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

# Inches of a row, and of a column; of a dendrogram; of the colour bar and what is left free beside it.
ROW, COLUMN = 0.24, 0.2
_TREE, _BAR, _FREE = 0.35, 0.14, 0.1
# Share of the values that the colours tell apart.
_USUAL = 0.97


def draw_clustered(
    ax: Axes,
    values: pd.DataFrame,
    *,
    label: str,
    signed: bool,
    trees: bool = True,
    italic: tuple[bool, bool] = (False, True),
    **kwargs: Any,
) -> pd.DataFrame:
    """Draw a matrix with a colour bar and, above and beside it, the trees that order its columns and rows.

    Parameters
    ----------
    ax
        Where to draw.
    values
        The matrix; NaN is grey, and counts as 0 for the order.
    label
        Of the colour bar.
    signed
        Colours around 0 instead of from 0.
    trees
        Order rows and columns, and draw the trees; otherwise they stay as they are.
    italic
        Whether the names of rows, and of columns, are those of genes.
    kwargs
        For :meth:`matplotlib.axes.Axes.imshow`.

    Returns
    -------
    The matrix as it was drawn.
    """
    width, height = (float(side) / ax.figure.dpi for side in ax.bbox.size)
    right = 1.0
    if trees:
        by_row, by_column = _tree(values), _tree(values.T)
        values = values.iloc[_leaves(by_row, len(values)), _leaves(by_column, values.shape[1])]
        right += _TREE / width if by_row else 0
    numbers = values.to_numpy(dtype=float)
    limits = {} if "norm" in kwargs else _limits(numbers, signed)  # matplotlib takes one or the other
    colors = {"cmap": "RdBu_r" if signed else "viridis", **limits}
    image = ax.imshow(numbers, **{**colors, "aspect": "auto", "interpolation": "none", **kwargs})
    ax.set_facecolor("0.85")
    ax.set_xticks(range(values.shape[1]), values.columns, rotation=90, style=_style(italic[1]), fontsize="small")
    ax.set_yticks(range(len(values)), values.index, style=_style(italic[0]), fontsize="small")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    if trees:
        _draw_tree(ax, by_column, (0, 1, 1, _TREE / height), upright=True)
        _draw_tree(ax, by_row, (1, 0, _TREE / width, 1), upright=False)
    bar = ax.inset_axes((right + _FREE / width, 0, _BAR / width, 1))
    ax.figure.colorbar(image, cax=bar, extend=_beyond(numbers, image)).set_label(label, fontsize="small")
    bar.tick_params(labelsize="small")
    return values


def _style(italic: bool) -> str:
    return "italic" if italic else "normal"


def _limits(numbers: np.ndarray, signed: bool) -> dict[str, float]:
    """Return limits of the colours that a few large values do not set."""
    sizes = np.abs(numbers[np.isfinite(numbers) & (numbers != 0)])
    most = float(np.quantile(sizes, _USUAL)) if len(sizes) else 1.0
    return {"vmin": -most if signed else 0.0, "vmax": most}


def _beyond(numbers: np.ndarray, image: AxesImage) -> str:
    """Return at which ends of the colour bar values go on."""
    low, high = image.get_clim()
    below, above = low is not None and bool((numbers < low).any()), high is not None and bool((numbers > high).any())
    return {(True, True): "both", (True, False): "min", (False, True): "max"}.get((below, above), "neither")


def _tree(values: pd.DataFrame) -> dict[str, Any] | None:
    from scipy.cluster.hierarchy import dendrogram, linkage

    if len(values) < 3:
        return None
    numbers = values.fillna(0.0).to_numpy(dtype=float)
    # Of one length: what is alike in kind belongs together, whatever its size.
    lengths = np.linalg.norm(numbers, axis=1, keepdims=True)
    merged = linkage(numbers / np.where(lengths > 0, lengths, 1.0), method="average", optimal_ordering=True)
    return dendrogram(merged, no_plot=True)


def _leaves(tree: dict[str, Any] | None, n: int) -> list[int]:
    return list(range(n)) if tree is None else tree["leaves"]


def _draw_tree(
    ax: Axes, tree: dict[str, Any] | None, bounds: tuple[float, float, float, float], *, upright: bool
) -> None:
    """Draw a tree in the space of the matrix, whose cells are one unit wide; scipy has them ten."""
    from matplotlib.collections import LineCollection

    if tree is None:
        return
    beside = ax.inset_axes(bounds)
    along, across = np.array(tree["icoord"]) / 10 - 0.5, np.array(tree["dcoord"])
    lines = np.stack([along, across] if upright else [across, along], axis=-1)
    beside.add_collection(LineCollection(list(lines), colors="0.4", linewidths=0.8))
    far = (0, 1.05 * across.max() or 1.0)
    beside.set(**({"xlim": ax.get_xlim(), "ylim": far} if upright else {"xlim": far, "ylim": ax.get_ylim()}))
    beside.set_axis_off()
