"""What all plots share: panels and what is handed back, legends, names beside points."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.text import Text

from ..models.base import FDR
from ._style import COLORS, GREY, MARKERS, NAMES, Figure, flatten_many

if TYPE_CHECKING:
    from .._typing import Artist, Axes, Iterable, Sequence

IMPACT = "Bray-Curtis, 0 to 1"
SHARE = "share of the cell's expression"

# What legends say of filled and of hollow dots.
FOUND, CHANCE = f"above chance (FDR ≤ {FDR})", f"may be chance (FDR > {FDR})"
# Names below each other in a legend at the side.
_LONGEST_LEGEND = 16


class Panels(NamedTuple):
    """Axes to draw in, and whether their figure is ours and not the user's."""

    axes: list[Axes]
    ours: bool

    def legend(self, handles: Sequence[Artist], where: str = "below", *, ncols: int = 3, **kwargs: Any) -> None:
        """Explain what is drawn: "below", "above", "left" of, "beside" or "inside" our panels, inside the user's."""
        # In the colour of the text of the user's axes, which may be dark.
        theirs = {} if self.ours else {"fontsize": "x-small", "labelcolor": self.axes[0].title.get_color()}
        style = {"handles": handles, **theirs, **kwargs}
        columns = -(-len(handles) // _LONGEST_LEGEND)
        if not self.ours or where == "inside":
            self.axes[0].legend(**style, loc="best")
        elif where == "beside":
            self.axes[-1].legend(**style, loc="upper left", bbox_to_anchor=(1.0, 1.0), ncols=columns)
        elif where == "left":
            self.axes[0].figure.legend(**style, loc="outside left center", ncols=columns)
        else:
            style["loc"] = f"outside {'upper' if where == 'above' else 'lower'} center"
            style["handles"] = [one for column in range(ncols) for one in handles[column::ncols]]  # read row by row
            self.axes[0].figure.legend(**style, ncols=ncols)

    def label_outer(self) -> None:
        """Leave the labels of axes that all panels share to those on the left and to the lowest."""
        grid = self.axes[0].get_gridspec()
        ncols = grid.ncols if self.ours and grid is not None else 1
        for number, ax in enumerate(self.axes):
            if number % ncols:
                ax.set_ylabel("")
            if number + ncols < len(self.axes):
                ax.set_xlabel("")
            else:
                ax.tick_params(labelbottom=True)  # also above an empty place of the grid

    def color_bar(self, label: str, **kwargs: Any) -> None:
        """Add one colour bar for all panels, that of the last coloured points."""
        points = next(drawn for drawn in self.axes[-1].collections if drawn.get_array() is not None)
        bar = self.axes[0].figure.colorbar(points, ax=self.axes, aspect=30, pad=0.01, **kwargs)
        bar.set_label(label, fontsize="small")
        bar.ax.tick_params(labelsize="small")

    def lay_out(self) -> None:
        """Make the layout, after which places and sizes are known."""
        self.axes[0].figure.figure.draw_without_rendering()

    def finish(self, show: bool | None, return_fig: bool) -> Any:
        """Show or hand back what was drawn, as scanpy does; axes of the user are shown only when he says so."""
        import scanpy as sc

        figure = self.axes[0].figure.figure
        if self.ours:
            flatten_many(figure)
        if return_fig:
            if self.ours:
                plt.close(figure)  # pyplot forgets it, so that a notebook shows it once; it can still be saved
            return figure
        if self.ours and sc.settings.autoshow if show is None else show:
            plt.show()
            return None
        return self.axes[0] if len(self.axes) == 1 else self.axes


def panels(n: int, ax: Axes | None, *, size: tuple[float, float], ncols: int = 4, what: str, **kwargs: Any) -> Panels:
    """Return `n` panels, one per `what`, each of a size in inches, or the one panel `ax` of the user."""
    if ax is not None:
        if n > 1:
            raise ValueError(
                f"ax=... has room for one panel, but there are {n}, one per {what}; name one, or leave ax out."
            )
        return Panels([ax], ours=False)
    if not n:
        raise ValueError(f"There is nothing to draw: no {what} is named.")
    nrows = -(-n // min(n, ncols))
    ncols = ncols if "width_ratios" in kwargs else -(-n // nrows)  # rows of one length, as far as that goes
    figure, grid = plt.subplots(
        nrows,
        ncols,
        figsize=(size[0] * ncols, size[1] * nrows),
        squeeze=False,
        layout="constrained",
        FigureClass=Figure,
        **kwargs,
    )
    for unused in grid.flat[n:]:
        figure.delaxes(unused)
    return Panels(list(grid.flat[:n]), ours=True)


def wrapped(title: str, width: int) -> str:
    return textwrap.fill(title, width, break_long_words=False, break_on_hyphens=False)


def dress(ax: Axes, title: str = "", xlabel: str = "", ylabel: str = "", *, width: int = 36) -> None:
    """Write title and labels, and leave out the sides that say nothing."""
    ax.set_title(wrapped(title, width))
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.spines[["top", "right"]].set_visible(False)


def name_rows(ax: Axes, names: Iterable[str], *, style: str = "italic") -> None:
    """Name rows, by default of genes, from the top down."""
    names = list(names)
    ax.set_yticks(range(len(names)), names, style=style, fontsize="small")
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)


def series(number: int) -> dict[str, Any]:
    return {"color": COLORS[number % len(COLORS)], "marker": MARKERS[number // len(COLORS) % len(MARKERS)]}


def line(color: str, label: str, **kwargs: Any) -> Line2D:
    return Line2D([], [], color=color, label=label, **kwargs)


def dot(color: str, label: str, **kwargs: Any) -> Line2D:
    return line(color, label, **{"ls": "none", "marker": "o", "ms": 5, **kwargs})


# Directions in which a name is tried, and how far from the edge of its point, in points.
_WAYS = np.array([[np.cos(angle), np.sin(angle)] for angle in np.deg2rad([0, 180, 90, 270, 45, 135, 225, 315])])
_GAPS = (1.5, 6.0, 12.0, 20.0, 30.0)


def add_names(
    ax: Axes,
    places: np.ndarray,
    names: Sequence[str],
    areas: np.ndarray,
    *,
    fontsize: float = NAMES,
    lines: np.ndarray | None = None,
) -> None:
    """Write names beside the first of some points, each where it covers least; when all else is drawn and laid out.

    A name that would cover another one is left out. Names also keep off `lines`, n x 2 (ends) x 2.
    """
    in_points = 72 / ax.figure.figure.dpi
    radii: np.ndarray = np.sqrt(areas / np.pi)
    points = ax.transData.transform(places) * in_points
    inside = np.array([ax.get_window_extent().extents]) * in_points
    taken = np.hstack([points - radii[:, None], points + radii[:, None]])
    if lines is not None:
        steps = np.linspace(0, 1, 50)[:, None, None]
        along = in_points * ax.transData.transform(((1 - steps) * lines[:, 0] + steps * lines[:, 1]).reshape(-1, 2))
        taken = np.vstack([taken, np.hstack([along - 2, along + 2])])
    if (legend := ax.get_legend()) is not None:
        taken = np.vstack([taken, in_points * np.array(legend.get_window_extent().extents)])
    written: np.ndarray = np.empty((0, 4))
    halo = [withStroke(linewidth=1.5 if lines is None else 3.0, foreground=ax.get_facecolor())]  # legible on lines
    font: dict[str, Any] = {
        "color": ax.title.get_color(),
        "ha": "center",
        "va": "center",
        "style": "italic",
        "path_effects": halo,
    }
    for number, name in enumerate(names):
        to_point = {"arrowstyle": "-", "color": GREY, "lw": 0.5, "shrinkA": 0, "shrinkB": radii[number]}
        how: dict[str, Any] = {"textcoords": "offset points", "arrowprops": to_point, "fontsize": fontsize, **font}
        text = ax.annotate(name, places[number], (0.0, 0.0), **how)
        half = in_points / 2 * np.array(Text.get_window_extent(text).size)
        offsets = np.concatenate([_WAYS * (radii[number] + gap + half) for gap in _GAPS])  # the nearest first
        boxes = np.hstack([points[number] + offsets - half, points[number] + offsets + half])
        lost = _overlap(boxes, taken) + 4 * half.prod() - _overlap(boxes, inside)
        covered = _overlap(boxes, written)
        near = _overlap(np.hstack([boxes[:, :2] - _GAPS[0], boxes[:, 2:] + _GAPS[0]]), written)
        best = int(np.argmin(np.maximum(lost + 10 * near, 1e-6)))
        if covered[best] > 0.2 * half.prod():  # a twentieth of the name
            text.remove()
            continue
        text.set_position(tuple(offsets[best]))
        text.arrow_patch.set_visible(best >= 2 * len(_WAYS))  # type: ignore[union-attr]
        taken, written = np.vstack([taken, boxes[best]]), np.vstack([written, boxes[best]])


def _overlap(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the area that each box (x0, y0, x1, y1) shares with others."""
    sides = np.minimum(boxes[:, None, 2:], others[:, 2:]) - np.maximum(boxes[:, None, :2], others[:, :2])
    return np.maximum(sides, 0.0).prod(axis=2).sum(axis=1)
