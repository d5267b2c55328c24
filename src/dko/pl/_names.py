"""Names beside points, each where it covers no other name and no point, as far as there is room."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes

# Directions that are tried, and how far from the edge of the point, in points.
_ANGLES = np.deg2rad([0, 180, 90, 270, 45, 135, 225, 315])
_GAPS = (1.5, 6.0, 12.0, 20.0, 30.0)
# Beyond this a line says which point is meant.
_NEAR = 6.0


def add_names(ax: Axes, places: np.ndarray, names: Sequence[str], radii: np.ndarray, *, fontsize: float) -> None:
    """Write names beside points.

    Parameters
    ----------
    ax
        Axes whose limits are final.
    places
        Of the points, n x 2, in data coordinates.
    names
        What to write, at the first of the points; the others are kept clear.
    radii
        Of the points, in points.
    fontsize
        Of the names.
    """
    from matplotlib.patheffects import withStroke

    halo = withStroke(linewidth=1.5, foreground="white")  # legible on lines
    figure = ax.figure.figure
    figure.draw_without_rendering()  # the layout is made, and sizes are known
    in_points = 72 / figure.dpi
    points = ax.transData.transform(places) * in_points
    frame = ax.get_window_extent()
    inside = in_points * np.array([frame.x0, frame.y0, frame.x1, frame.y1])
    taken = np.hstack([points - radii[:, None], points + radii[:, None]])
    for number, name in enumerate(names):
        text = ax.text(0, 0, name, fontsize=fontsize, style="italic")
        extent = text.get_window_extent()
        text.remove()
        size = in_points * np.array([extent.width, extent.height])
        gap, offset, box = _best(points[number], size, radii[number], taken, inside)
        taken = np.vstack([taken, box])
        line = {"arrowstyle": "-", "color": "0.6", "lw": 0.5, "shrinkA": 0, "shrinkB": radii[number]}
        ax.annotate(
            name,
            places[number],
            (float(offset[0]), float(offset[1])),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=fontsize,
            style="italic",
            arrowprops=line if gap > _NEAR else None,
            path_effects=[halo],
        )


def _best(
    point: np.ndarray, size: np.ndarray, radius: float, taken: np.ndarray, inside: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the gap, offset and box (x0, y0, x1, y1) that covers least; the nearest of those that cover nothing."""
    found = []
    for gap, offset, box in _candidates(point, size, radius):
        lost = _overlap(box, taken) + size.prod() - _overlap(box, inside[None])
        if lost < 1e-6:
            return gap, offset, box
        found.append((lost, gap, offset, box))
    return min(found, key=lambda one: one[0])[1:]


def _candidates(point: np.ndarray, size: np.ndarray, radius: float) -> Iterator[tuple[float, np.ndarray, np.ndarray]]:
    for gap in _GAPS:
        for angle in _ANGLES:
            direction = np.array([np.cos(angle), np.sin(angle)])
            offset = direction * (radius + gap + size / 2)
            yield gap, offset, np.concatenate([point + offset - size / 2, point + offset + size / 2])


def _overlap(box: np.ndarray, others: np.ndarray) -> float:
    """Return the area that a box shares with others."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    return float(np.maximum(sides, 0.0).prod(axis=1).sum())
