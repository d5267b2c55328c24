"""Where knockouts would move cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData

from .._compat import embedding
from .._core import keys
from .._core.cells import read_basis, unwrap
from .._core.messages import unknown
from .._core.names import labels_of
from .._core.verb import verb
from .._rng import generator
from ._arrows import extent, grid_arrows, grid_step, magnified, rounded, some_arrows
from ._finish import COLORS, NCOLS, finish, panels, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from mudata import MuData

    from .._core.names import Knockouts
    from .._rng import RNG
    from ._finish import Drawn

# Inches of a panel, and of the legend beside all of them.
_SIZE, _LEGEND = (4.6, 4.4), 1.8
_POINT_AREA = 60_000
_SMALL = {"size": 8}
# Parts of the diagonal of the embedding that the longest arrows, and that below the panel, take.
_LONGEST, _KEY = 0.08, 0.06


@verb
def shift(
    adata: AnnData | MuData,
    genes: Knockouts | None = None,
    *,
    basis: str = "umap",
    kind: str = "quiver",
    color: str | None = None,
    n_arrows: int = 600,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    rng: RNG = 0,
    ncols: int = NCOLS,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
    **kwargs: Any,
) -> Drawn:
    """Draw where knockouts would move cells on an embedding, a panel per knockout.

    Arrows are drawn longer or shorter than the shifts, by the factor in the title of each panel; the arrow below it
    stands for the length that is written beside it, in units of the embedding. The few longest are cut short.
    :func:`dko.get.identity` tells how far cells move, and where to.

    Parameters
    ----------
    adata
        After :func:`dko.tl.identity_shift`.
    genes
        Knockouts, as in :func:`dko.tl.virtual_ko`, or their labels; all that were shifted by default.
    basis
        Embedding that was named there, with or without its ``X_``.
    kind
        ``"quiver"``: an arrow per cell. ``"grid"``: the mean shift of the cells around each point of a grid, with
        Gaussian weights, where there are any; what cells do not have in common averages out.
    color
        ``obs`` column that colours the cells below the arrows; grey by default.
    n_arrows
        Most cells with an arrow in a panel, drawn at random from all that are shifted; or, with ``kind="grid"``, most
        points of the grid.
    %(results)s
    rng
        Seed or generator of the draw of cells.
    ncols, ax, show, return_fig
        As in :func:`dko.pl.impact`.
    kwargs
        Passed on to :func:`scanpy.pl.embedding`, which draws the cells: ``size``, ``alpha``, ``palette``, ``frameon``
        and so on.

    Returns
    -------
    None if shown, the figure with `return_fig`, otherwise the axes (a list for several knockouts).

    Raises
    ------
    KeyError
        No such shifts, embedding or column.
    ValueError
        `ax` with several knockouts; no such `kind`; `n_arrows` below 1.
    """
    if kind not in ("quiver", "grid"):
        raise ValueError(f"kind={kind!r} must be 'quiver' or 'grid'.")
    if n_arrows < 1:
        raise ValueError(f"n_arrows={n_arrows} must be at least 1.")
    target = unwrap(adata, mod)
    short, places = read_basis(target, basis)
    moves = _moves(target, genes, short, key)
    background = _background(target, places, short, color)
    longest = 1.2 * grid_step(places, n_arrows) if kind == "grid" else _LONGEST * extent(places)
    key_length = _KEY * extent(places)
    draw = generator(rng)
    has_legend = color is not None and isinstance(background.obs[color].dtype, pd.CategoricalDtype)
    width = _SIZE[0] + (_LEGEND / min(len(moves), ncols) if has_legend else 0)
    axes, ours = panels(len(moves), ax, size=(width, _SIZE[1]), ncols=ncols, what="knockout")
    options = {"size": _POINT_AREA / target.n_obs, **({} if color is None else {"alpha": 0.6}), **kwargs}
    for panel, (label, move) in zip(axes, moves.items(), strict=True):
        # The legend of one panel is that of all.
        legend = {} if panel is axes[-1] else {"legend_loc": None}
        embedding(background, short, color=color, ax=panel, show=False, colorbar_loc=None, **{**legend, **options})
        found = grid_arrows(places, move, n_arrows) if kind == "grid" else some_arrows(places, move, n_arrows, draw)
        arrows, factor = magnified(found, longest)
        n_cells = int(np.isfinite(move).all(axis=1).sum())
        panel.set_title(wrapped(f"{label} ({n_cells:,} cells), shifts × {factor:g}", 40), fontsize="medium")
        drawn = panel.quiver(
            *arrows.places.T,
            *arrows.moves.T,
            angles="xy",
            scale_units="xy",
            scale=1,
            width=0.004 if kind == "grid" else 0.003,
            color="black",
            zorder=4,
        )
        panel.update_datalim(arrows.places + arrows.moves)
        panel.autoscale_view()
        length = rounded(key_length / factor)
        panel.quiverkey(
            drawn, 0.93, -0.035, length * factor, f"{length:g} {short.upper()}", labelpos="W", fontproperties=_SMALL
        )
    if color is not None and not has_legend:
        points = next(drawn for drawn in axes[0].collections if drawn.get_array() is not None)
        axes[0].figure.colorbar(points, ax=axes, label=color, aspect=30, pad=0.01)
    return finish(axes, ours=ours, show=show, return_fig=return_fig)


def _moves(adata: AnnData, genes: Knockouts | None, basis: str, key: str) -> dict[str, np.ndarray]:
    """Return the shifts of each knockout, cells x 2."""
    start = keys.shift(key, basis, "")
    known = [keys.unescape(name.removeprefix(start)) for name in adata.obsm if name.startswith(start)]
    if not known:
        raise KeyError(
            f"No shifts on {basis!r} under key {key!r}; "
            f"run dko.tl.identity_shift(adata, genes, basis={basis!r}, key={key!r}) first."
        )
    labels = known if genes is None else list(dict.fromkeys(labels_of(genes)))
    if missing := [label for label in labels if label not in known]:
        hint = unknown("knockout", missing, known, f"the shifts on {basis!r}")
        raise KeyError(f"{hint} Run dko.tl.identity_shift for it first.")
    return {label: np.asarray(adata.obsm[keys.shift(key, basis, label)], dtype=float) for label in labels}


def _is_number(values: pd.Series) -> bool:
    """Tell numbers from names; True and False are names here, which pandas counts among the numbers."""
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def _background(adata: AnnData, places: np.ndarray, basis: str, color: str | None) -> AnnData:
    if color is not None and color not in adata.obs:
        raise KeyError(unknown("column", [color], adata.obs.columns, "adata.obs"))
    found = AnnData(obs=adata.obs[[] if color is None else [color]].copy(), obsm={f"X_{basis}": places})
    if color is None or _is_number(found.obs[color]):
        return found
    found.obs[color] = found.obs[color].astype("category")
    chosen = adata.uns.get(f"{color}_colors")
    if chosen is None and len(found.obs[color].cat.categories) <= len(COLORS):
        chosen = COLORS
    if chosen is not None:
        found.uns[f"{color}_colors"] = list(chosen)[: len(found.obs[color].cat.categories)]
    return found
