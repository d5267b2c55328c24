"""Panels of a ranking of genes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._finish import COLORS, wrapped
from ._values import DOWNSTREAM, FDR, MEAN, rates

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

_DOT, _TICK = COLORS[0], COLORS[1]
# Area in square points of the dot of a gene that all cells express, and diameter in points of one with an interval.
_FULL, _SIZE = 110.0, 6.0
_ENDS = ["downstream_low", "downstream_high"]


def draw(ax: Axes, table: pd.DataFrame, title: str, value: str, *, intervals: bool) -> None:
    """Draw values with their 95 % intervals, or by dots whose areas say in how many cells the gene is."""
    places = range(len(table))
    ax.axvline(0, color="0.8", lw=0.8, zorder=0)
    if intervals:
        ax.hlines(places, *(table[end] for end in _ENDS), color=_DOT, lw=1.6, zorder=1)
    else:
        ax.hlines(places, 0, table[value], color="0.85", lw=1, zorder=1)
    areas = _SIZE**2 if intervals else _FULL * table["fraction"]
    faces = [_DOT if found else "white" for found in _found(table, value)]
    ax.scatter(table[value], places, s=areas, c=faces, edgecolors=_DOT, linewidths=1.2, zorder=2)
    ax.locator_params(axis="x", nbins=4, steps=[1, 2, 5, 10])
    if value == MEAN:
        _draw_shares(ax, table)
    _dress(ax, table, title)


def _found(table: pd.DataFrame, value: str) -> np.ndarray:
    """Return which values are beyond chance; all, where there is no rate of this value."""
    known = rates(table) if value == DOWNSTREAM else None
    return np.ones(len(table), dtype=bool) if known is None else (known <= FDR).to_numpy()


def limits(tables: list[pd.DataFrame], value: str, *, intervals: bool) -> tuple[float, float]:
    """Return what the axis of values has to span, with 0 and a little room."""
    names = [value, *(_ENDS if intervals else ()), *(["expression_mean"] if value == MEAN else [])]
    return 0.0, 1.08 * (max(table[names].to_numpy(dtype=float).max() for table in tables) or 1.0)


def handles(tables: list[pd.DataFrame], value: str, *, intervals: bool) -> list[Artist]:
    """Return what the legend explains, of what there is."""
    from matplotlib.lines import Line2D

    def dot(size: float, label: str, *, hollow: bool = False) -> Line2D:
        face = "white" if hollow else _DOT
        return Line2D([], [], ls="none", marker="o", color=_DOT, mfc=face, ms=size, mew=1.2 * hollow, label=label)

    there = set(np.concatenate([_found(table, value) for table in tables]))
    rated = value == DOWNSTREAM and rates(tables[0]) is not None
    dots = {True: dot(_SIZE, f"FDR ≤ {FDR}"), False: dot(_SIZE, f"FDR > {FDR}", hollow=True)}
    shown: list[Artist] = [dots[found] for found in dots if rated and found in there]
    if intervals:
        return [*shown, Line2D([], [], color=_DOT, lw=1.6, label="95 % interval")]
    shown += [dot((_FULL * part) ** 0.5, f"gene in {part:.0%} of cells") for part in (0.25, 0.5, 1.0)]
    if value == MEAN:
        shown.append(Line2D([], [], ls="none", marker="|", color=_TICK, ms=8, mew=1.8, label="share of expression"))
    return shown


def _draw_shares(ax: Axes, table: pd.DataFrame) -> None:
    ax.scatter(table["expression_mean"], range(len(table)), marker="|", s=70, color=_TICK, lw=1.8, zorder=3)


def _dress(ax: Axes, table: pd.DataFrame, title: str) -> None:
    ax.set_yticks(range(len(table)), table["gene"], style="italic", fontsize="small")
    ax.set_ylim(len(table) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title(wrapped(title, 28), fontsize="medium")
