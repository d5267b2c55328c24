"""The genes that one knockout changes: by how much, and how surely."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._finish import COLORS, wrapped
from ._names import add_names
from ._values import FDR

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

_FALLS, _RISES, _OTHER, _NONE = COLORS[0], COLORS[1], "0.45", "0.8"
_AREA, _PALE = 18.0, 0.3


def draw_volcano(ax: Axes, table: pd.DataFrame, title: str, **kwargs: Any) -> None:
    """Draw the genes of one knockout."""
    table = table[table["z"].notna()]
    change, height = table["change"].to_numpy(dtype=float), table["z"].abs().to_numpy(dtype=float)
    kinds, specific = _kinds(table), table["specific"].to_numpy(dtype=bool)
    for kind, color in {"none": _NONE, "other": _OTHER, "falls": _FALLS, "rises": _RISES}.items():
        for strong in (False, True):
            rows = (kinds == kind) & (specific == strong)
            alpha = _PALE if kind in ("falls", "rises") and not strong else 1.0
            ax.scatter(change[rows], height[rows], **{"s": _AREA, "color": color, "alpha": alpha, "lw": 0, **kwargs})
    found = table["pval_adj"].to_numpy() <= FDR
    if found.any():
        ax.axhline(height[found].min(), color="0.4", lw=0.8, ls="--", zorder=0)
    ax.axvline(0, color="0.8", lw=0.8, zorder=0)
    ax.set_ylabel("co-expression in the cells, |z|")
    ax.set_title(wrapped(title, 36), fontsize="medium")
    ax.spines[["top", "right"]].set_visible(False)
    ax.locator_params(axis="x", nbins=5)
    ax.margins(0.15, 0.08)
    ax.set_ylim(bottom=0)


def name_points(ax: Axes, table: pd.DataFrame, n_names: int) -> None:
    """Name the genes that change most among the coloured, once all else is drawn and has its place."""
    table = table[np.isin(_kinds(table), ["falls", "rises"]) & table["z"].notna()]
    table = table.sort_values("change", key=np.abs, ascending=False, kind="stable")
    places = np.column_stack([table["change"], table["z"].abs()]).astype(float)
    radii = np.full(len(table), np.sqrt(_AREA / np.pi))
    add_names(ax, places, table["gene"].astype(str).to_list()[:n_names], radii, fontsize=8.0)


def volcano_handles(table: pd.DataFrame) -> list[Artist]:
    """Return what the legend explains, of what there is."""
    from matplotlib.lines import Line2D

    table = table[table["z"].notna()]
    kinds, specific = _kinds(table), table["specific"].to_numpy(dtype=bool)

    def dot(color: str, label: str, alpha: float = 1.0) -> Line2D:
        return Line2D([], [], ls="none", marker="o", ms=5, mfc=color, mew=0, alpha=alpha, label=label)

    shown: list[tuple[np.ndarray, Line2D]] = []
    for kind, color in (("falls", _FALLS), ("rises", _RISES)):
        shown.append(((kinds == kind) & specific, dot(color, kind)))
        shown.append(((kinds == kind) & ~specific, dot(color, f"{kind}, by other knockouts too", _PALE)))
    shown.append((kinds == "other", dot(_OTHER, "co-expression of the other sign")))
    line = Line2D([], [], color="0.4", lw=0.8, ls="--", label=f"FDR {FDR}")
    return [*(handle for rows, handle in shown if rows.any()), *([line] if (kinds != "none").any() else [])]


def _kinds(table: pd.DataFrame) -> np.ndarray:
    """Tell what is found, and falls or rises both in the model and in the cells."""
    change, z = np.sign(table["change"].to_numpy()), np.sign(table["z"].to_numpy())
    agreed = np.where(change < 0, "falls", "rises")
    kinds = np.where((change == z) & (change != 0), agreed, "other")
    return np.where(table["pval_adj"].to_numpy() <= FDR, kinds, "none")
