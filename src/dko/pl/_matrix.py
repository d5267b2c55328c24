"""Matrices in colour, with trees and a colour bar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from mpl_toolkits.axes_grid1 import make_axes_locatable
from scipy.cluster.hierarchy import dendrogram, linkage
from scipy.spatial.distance import pdist

from ._panels import CHANCE, Panels, dot, panels, wrapped
from ._style import DARK, DIVERGING, GREY, PALE, SEQUENTIAL

if TYPE_CHECKING:
    import pandas as pd

    from .._typing import Artist, Axes

# Inches of a row, of a column, and of all of them at most; of a dendrogram; of the colour bar and the space beside it.
_ROW, _COLUMN, _MOST = 0.24, 0.2, 12.0
_TREE, _BAR, _SPACE = 0.35, 0.14, 0.1
# Inches of the legend of areas and of a picture that has one; share of the area of a hollow dot that is white.
_KEY, _WIDTH, _HOLE = 0.5, 5.0, 0.35
# Share of the values within the limits of the colours, which a few large ones do not set.
_USUAL = 0.97
# Inches that the label of a bar takes, about, and that are left of a user's axes, however small these are.
_LABEL, _LEAST = 0.6, 0.3
# Letters of a note in an inch of the axes of a user, and in a line of it at least.
_LETTERS, _SHORTEST = 14, 20


def draw_matrix(
    values: pd.DataFrame,
    ax: Axes | None,
    *,
    label: str,
    signed: bool,
    grey: str = "",
    areas: pd.DataFrame | None = None,
    hollow: pd.DataFrame | None = None,
    ordered: bool = True,
    italic_rows: bool = False,
    **kwargs: Any,
) -> tuple[Panels, pd.DataFrame]:
    """Draw a matrix with a colour bar (around 0 if `signed`) and, if `ordered`, trees.

    NaN is grey, which a line below explains, and 0 for the order. With `areas`, from 0 to 1, dots are drawn, with
    a white middle where `hollow`.
    """
    n_rows, n_columns = values.shape
    sides = min(_COLUMN * n_columns, _MOST), min(_ROW * n_rows, _MOST)
    size = (2.6 + sides[0], 1.6 + sides[1])
    if areas is not None:
        size = max(size[0], _WIDTH), size[1] + _KEY
    drawn = panels(1, ax, size=size, what="matrix")
    (ax,), sides_of = drawn.axes, _Sides(drawn)
    if ordered:
        rows = _draw_tree(sides_of, values, "right")
        values = values.iloc[rows, _draw_tree(sides_of, values.T, "top")]
    bar = sides_of.add("right", _BAR, _SPACE)
    sides_of.make_room(bar)
    width, height = sides_of.inches
    fontsize = float(np.clip(50 * min(width / n_columns, height / n_rows), 4.0, 8.3))
    numbers = values.to_numpy(dtype=float)
    sizes = np.abs(numbers[np.isfinite(numbers) & (numbers != 0)])
    most = float(np.quantile(sizes, _USUAL)) if len(sizes) else 1.0
    limits = {} if "norm" in kwargs else {"vmin": -most if signed else 0.0, "vmax": most}  # one or the other
    colors = {"cmap": DIVERGING if signed else SEQUENTIAL, **limits, **kwargs}
    if areas is None:
        image: Any = ax.imshow(numbers, **{"aspect": "auto", "interpolation": "none", **colors})
        ax.set_facecolor(PALE)
    else:
        place = sides if drawn.ours else (width, height)
        diameter = 60 * min(place[0] / n_columns, place[1] / n_rows)  # of 72 points that an inch has
        image, steps = _draw_dots(ax, values, diameter, areas, hollow, colors)
        sides_of.legend(steps, "area: fraction of the cells that express the gene")
    ax.set_xticks(range(values.shape[1]), values.columns, rotation=90, style="italic", fontsize=fontsize)
    style = "italic" if italic_rows else "normal"
    ax.set_yticks(range(len(values)), values.index, style=style, fontsize=fontsize)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    low, high = image.get_clim()
    extend = {(1, 1): "both", (1, 0): "min", (0, 1): "max"}.get(((numbers < low).any(), (numbers > high).any()))
    ax.figure.colorbar(image, cax=bar, extend=extend or "neither").set_label(label, fontsize="small")
    bar.tick_params(labelsize="small")
    notes = [f"grey: {grey}"] if grey and areas is None and np.isnan(numbers).any() else []
    notes += ["pointed end of the bar: beyond its scale"] if extend else []
    text = "; ".join(notes)
    ax.set_xlabel(text if drawn.ours else wrapped(text, max(_SHORTEST, int(_LETTERS * width))), fontsize="small")
    return drawn, values


def _draw_dots(
    ax: Axes,
    values: pd.DataFrame,
    diameter: float,
    areas: pd.DataFrame,
    hollow: pd.DataFrame | None,
    colors: dict[str, Any],
) -> tuple[Any, list[Any]]:
    """Draw a dot for each value, of a diameter in points where its area is 1; return them, and what explains them."""
    n_rows, n_columns = values.shape
    sizes = diameter**2 * areas.loc[values.index, values.columns].to_numpy(dtype=float).ravel()
    y, x = np.indices(values.shape).reshape(2, -1)
    numbers = values.to_numpy(dtype=float).ravel()
    drawn = ax.scatter(x, y, s=sizes, c=numbers, edgecolors=DARK, linewidths=0.5, **colors)
    ax.set(xlim=(-0.5, n_columns - 0.5), ylim=(n_rows - 0.5, -0.5))
    steps = [dot(GREY, f"{part:.0%}", ms=diameter * part**0.5, mec=DARK, mew=0.5) for part in (0.1, 0.5, 1.0)]
    if hollow is not None and hollow.to_numpy().any():
        middle = hollow.loc[values.index, values.columns].to_numpy().ravel()
        ax.scatter(x[middle], y[middle], s=_HOLE * sizes[middle], color="white", edgecolors=DARK, linewidths=0.5)
        steps.append(dot(GREY, CHANCE, ms=0.7 * diameter, mfc="white", mew=0.15 * diameter))
    return drawn, steps


class _Sides:
    """Places beside a matrix: outside of our axes, as the layout makes room for them, but within those of the user."""

    def __init__(self, drawn: Panels) -> None:
        self.drawn, (self.ax,) = drawn, drawn.axes
        self.divider = None if drawn.ours else make_axes_locatable(self.ax)
        self.inches = np.array(self.ax.bbox.size) / self.ax.figure.dpi  # of the matrix, about
        self.taken = 0.0  # on the right

    def add(self, side: str, inches: float, pad: float = 0.0) -> Any:
        """Return axes on the ``"right"`` of those that are there, or on the ``"top"``."""
        if self.divider is not None:
            new = self.divider.new_horizontal if side == "right" else self.divider.new_vertical
            taken = (inches + pad, 0) if side == "right" else (0, inches + pad)
            self.inches = np.maximum(self.inches - taken, _LEAST)
            return self.ax.add_child_axes(new(inches, pad=pad))
        width, height = self.inches
        if side == "top":
            return self.ax.inset_axes((0, 1, 1, inches / height))
        left, self.taken = self.taken + pad, self.taken + pad + inches
        return self.ax.inset_axes((1 + left / width, 0, inches / width, 1))

    def legend(self, handles: list[Artist], title: str) -> None:
        """Explain the dots: below our axes, on top of what is within those of the user."""
        if self.divider is None:
            self.drawn.legend(handles, title=title, ncols=4)
            return
        place = self.add("top", _KEY + _ROW * (len(handles) > 3), _SPACE)
        place.set_axis_off()
        style = {"fontsize": "x-small", "title_fontsize": "x-small", "labelcolor": self.ax.title.get_color()}
        place.legend(handles=handles, title=title, ncols=3, loc="center", **style)

    def make_room(self, bar: Axes) -> None:
        """Keep what is written beside a colour bar within the axes of the user as well."""
        if self.divider is not None:
            self.inches = np.maximum(self.inches - (_LABEL, 0), _LEAST)
            self.divider.add_auto_adjustable_area([bar], pad=_SPACE, adjust_dirs=["right"])


def _draw_tree(sides: _Sides, values: pd.DataFrame, side: str) -> list[int]:
    """Draw the tree of rows, by average linkage, above or to the right of a matrix; return the order of its leaves."""
    # Scaled to one length, as those of one kind are similar whatever their size.
    numbers = values.fillna(0.0).to_numpy(dtype=float)
    lengths = np.linalg.norm(numbers, axis=1, keepdims=True)
    distances = pdist(numbers / np.where(lengths > 0, lengths, 1.0))
    if len(values) < 3 or not distances.any():  # all the same
        return list(range(len(values)))
    merged = linkage(distances, method="average", optimal_ordering=True)
    beside = sides.add(side, _TREE)
    style = {"color_threshold": 0, "above_threshold_color": DARK, "no_labels": True}
    leaves = dendrogram(merged, ax=beside, orientation=side, **style)["leaves"]
    beside.collections[0].set_linewidth(0.8)
    if side == "right":
        beside.invert_yaxis()  # the first row is on top
    beside.set_axis_off()
    return leaves
