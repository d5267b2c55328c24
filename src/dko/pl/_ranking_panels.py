"""Panels of a ranking of genes: beside their expression, or with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._finish import COLORS, wrapped
from ._values import BEYOND, FDR, MEAN

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

_DOT, _TICK = COLORS[0], COLORS[1]
# Area in square points of the dot of a gene that all cells express, and diameter in points of one with an interval.
_FULL, _SIZE = 110.0, 6.0
_ENDS = {BEYOND: ("beyond_low", "beyond_high"), MEAN: ("impact_low", "impact_high")}


def draw_fractions(ax: Axes, table: pd.DataFrame, title: str) -> None:
    """Draw impacts whose dots say in how many cells the gene is."""
    places = range(len(table))
    ax.hlines(places, 0, table[MEAN], color="0.85", lw=1, zorder=1)
    ax.scatter(table[MEAN], places, s=_FULL * table["fraction"], color=_DOT, zorder=2)
    _draw_shares(ax, table)
    _dress(ax, table, title)


def draw_intervals(ax: Axes, table: pd.DataFrame, title: str, value: str) -> None:
    """Draw values with their 95 % intervals, hollow where it may be chance that others go with the gene."""
    places = range(len(table))
    ax.axvline(0, color="0.8", lw=0.8, zorder=0)
    ax.hlines(places, *(table[end] for end in _ENDS[value]), color=_DOT, lw=1.6, zorder=1)
    faces = [_DOT if found else "white" for found in table["pval_adj"] <= FDR]
    ax.scatter(table[value], places, s=_SIZE**2, c=faces, edgecolors=_DOT, linewidths=1.2, zorder=2)
    ax.locator_params(axis="x", nbins=4, steps=[1, 2, 5, 10])
    if value == MEAN:
        _draw_shares(ax, table)
    _dress(ax, table, title)


def limits(tables: list[pd.DataFrame], value: str, *, intervals: bool) -> tuple[float, float]:
    """Return what the axis of values has to span, with 0 and a little room."""
    names = [value, *(_ENDS[value] if intervals else ()), *(["expression_mean"] if value == MEAN else [])]
    numbers = np.concatenate([table[names].to_numpy(dtype=float).ravel() for table in tables])
    low, high = min(numbers.min(), 0.0), max(numbers.max(), 0.0)
    room = 0.08 * ((high - low) or 1.0)
    return (low - room if low < 0 else 0.0), high + room


def handles(tables: list[pd.DataFrame], value: str, *, intervals: bool) -> list[Artist]:
    """Return what the legend explains, of what there is."""
    from matplotlib.lines import Line2D

    def dot(size: float, label: str, *, hollow: bool = False) -> Line2D:
        face = "white" if hollow else _DOT
        return Line2D([], [], ls="none", marker="o", color=_DOT, mfc=face, ms=size, mew=1.2 * hollow, label=label)

    share = Line2D([], [], ls="none", marker="|", color=_TICK, ms=8, mew=1.8, label="share of expression")
    if not intervals:
        dots = [dot((_FULL * part) ** 0.5, f"impact, gene in {part:.0%} of cells") for part in (0.25, 0.5, 1.0)]
        return [*dots, share]
    found = {bool(known) for table in tables for known in table["pval_adj"] <= FDR}
    kinds = [(True, dot(_SIZE, f"FDR ≤ {FDR}")), (False, dot(_SIZE, f"FDR > {FDR}", hollow=True))]
    interval = Line2D([], [], color=_DOT, lw=1.6, label="95 % interval")
    return [*(shown for known, shown in kinds if known in found), interval, *([share] if value == MEAN else [])]


def _draw_shares(ax: Axes, table: pd.DataFrame) -> None:
    ax.scatter(table["expression_mean"], range(len(table)), marker="|", s=70, color=_TICK, lw=1.8, zorder=3)


def _dress(ax: Axes, table: pd.DataFrame, title: str) -> None:
    ax.set_yticks(range(len(table)), table["gene"], style="italic", fontsize="small")
    ax.set_ylim(len(table) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title(wrapped(title, 28), fontsize="medium")
