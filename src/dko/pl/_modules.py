"""Perturbations that do the same kind of thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import get
from .._core import keys
from .._core.verb import verb
from ._finish import BESIDE, COLORS, INSIDE, MARKERS, finish, panels
from ._names import add_names

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from mudata import MuData

    from ._finish import Drawn

_GREY = "0.65"
_TITLE: dict[str, Any] = {"title_fontsize": "small", "alignment": "left"}
# Areas of points in square points, of no strength and of the largest.
_SMALLEST, _LARGEST = 15.0, 150.0
# More names cover each other, and the points.
_MOST_NAMES = 100


@verb
def modules(
    adata: AnnData | MuData,
    *,
    names: bool = True,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw perturbations on a map, near others that do the same kind of thing.

    A colour is a module, with a shape of its own where there are more modules than colours; what has no effect is grey.
    The area is the strength. Perturbations that the model was not trained on are hollow.

    Parameters
    ----------
    adata
        After :func:`dko.tl.perturbation_modules`.
    names
        Write the names of the perturbations; of more than 100, those of the strongest of each module.
    %(results)s
    ax, show, return_fig
        As in :func:`dko.pl.impact`.

    Returns
    -------
    None if shown, the figure with `return_fig`, otherwise the axes.

    Raises
    ------
    KeyError
        There are no modules.
    """
    table = get.modules(adata, key=key, mod=mod)
    known = sorted(set(table["module"]) - {keys.NO_EFFECT}, key=int)
    styles = {name: (COLORS[i % len(COLORS)], MARKERS[i // len(COLORS) % len(MARKERS)]) for i, name in enumerate(known)}
    styles[keys.NO_EFFECT] = (_GREY, "o")
    side = 5.0 if len(table) <= 40 else 7.0
    axes, ours = panels(1, ax, size=(side + 1.4, side), what="map")
    (panel,) = axes
    areas = _SMALLEST + (_LARGEST - _SMALLEST) * table["strength"].to_numpy() / max(table["strength"].max(), 1e-12)
    for (module, unseen), rows in table.groupby(["module", "is_unseen"]).groups.items():
        color, marker = styles[module]
        panel.scatter(
            table["umap_1"][rows],
            table["umap_2"][rows],
            s=areas[rows],
            marker=marker,
            facecolors="none" if unseen else color,
            edgecolors=color,
            linewidths=1.3 if unseen else 0.0,
        )
    panel.set(xticks=[], yticks=[], xlabel="UMAP 1", ylabel="UMAP 2")
    panel.margins(0.08)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(handles=_handles(table, styles), title="area: strength", **(BESIDE if ours else INSIDE), **_TITLE)
    if names:
        fontsize = 8.0 if len(table) <= 40 else 6.5
        named = _named(table)
        order = np.concatenate([named, np.setdiff1d(np.arange(len(table)), named)])
        places = table.loc[order, ["umap_1", "umap_2"]].to_numpy(dtype=float)
        radii = np.sqrt(areas[order] / np.pi)
        add_names(panel, places, table.loc[named, "perturbation"].to_list(), radii, fontsize=fontsize)
    return finish(axes, ours=ours, show=show, return_fig=return_fig)


def _named(table: pd.DataFrame) -> np.ndarray:
    """Return the rows of the perturbations that have room for their names."""
    if len(table) <= _MOST_NAMES:
        return np.arange(len(table))
    affects = table[table["module"] != keys.NO_EFFECT].sort_values("strength", ascending=False, kind="stable")
    strongest = affects.groupby("module").head(max(1, _MOST_NAMES // max(1, affects["module"].nunique())))
    return np.sort(strongest.index.to_numpy())


def _handles(table: pd.DataFrame, styles: dict[str, tuple[str, str]]) -> list[Artist]:
    from matplotlib.lines import Line2D

    def point(color: str, marker: str, label: str, *, hollow: bool = False) -> Line2D:
        face = "none" if hollow else color
        return Line2D([], [], ls="none", marker=marker, ms=6, mfc=face, mec=color, mew=1.3 * hollow, label=label)

    there = table["module"].value_counts()
    handles: list[Artist] = [
        point(*style, f"{name} ({there[name]})" if name == keys.NO_EFFECT else f"module {name} ({there[name]})")
        for name, style in styles.items()
        if name in there
    ]
    return [*handles, point("0.3", "o", "not trained on", hollow=True)] if table["is_unseen"].any() else handles
