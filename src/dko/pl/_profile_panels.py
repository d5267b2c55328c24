"""Panels of profiles before and after a knockout: the levels, and by how much they change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._finish import COLORS, SHARE, wrapped

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

_FALLS, _RISES, _BEFORE = COLORS[0], COLORS[1], "0.45"


def draw_levels(ax: Axes, table: pd.DataFrame, title: str) -> None:
    """Draw mean shares before and after on a log axis."""
    from matplotlib.ticker import LogLocator, NullFormatter

    places = range(len(table))
    colors = [_FALLS if change < 0 else _RISES for change in table["change"]]
    ax.hlines(places, table["before"], table["after"], colors=colors, lw=1.4, zorder=1)
    ax.scatter(table["before"], places, s=30, c="white", edgecolors=_BEFORE, linewidths=1.2, zorder=2)
    ax.scatter(table["after"], places, s=14, c=colors, zorder=3)
    ax.set_xscale("log")
    ax.margins(x=0.08)
    low, high = ax.get_xlim()
    if high < 100 * low:  # too few powers of ten to read from
        ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_yticks(places, table.index, style="italic", fontsize="small")
    ax.set_xlabel(f"mean {SHARE}")
    ax.set_title(wrapped(title, 36), fontsize="medium")
    _dress(ax, len(table))


def draw_changes(ax: Axes, table: pd.DataFrame) -> None:
    """Draw what is too small to see on a log axis."""
    colors = [_FALLS if change < 0 else _RISES for change in table["change"]]
    ax.barh(range(len(table)), 100 * (table["after"] / table["before"] - 1), color=colors, height=0.6)
    ax.axvline(0, color="0.4", lw=0.8)
    ax.set_yticks([])
    ax.set_xlabel("change in %")
    ax.locator_params(axis="x", nbins=4)
    ax.spines["left"].set_visible(False)
    _dress(ax, len(table))


def _dress(ax: Axes, n: int) -> None:
    ax.set_ylim(n - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right"]].set_visible(False)


def profile_handles() -> list[Artist]:
    """Return what the legend explains."""
    from matplotlib.lines import Line2D

    def dot(color: str, label: str, face: str) -> Line2D:
        return Line2D([], [], ls="none", marker="o", ms=5, color=color, mfc=face, label=label)

    return [
        dot(_BEFORE, "before", "white"),
        dot(_FALLS, "after: falls", _FALLS),
        dot(_RISES, "after: rises", _RISES),
    ]
