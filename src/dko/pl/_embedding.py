"""Cells on an embedding: the impacts of knockouts, and where these would shift cells."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData

from .. import get
from .._compat import embedding
from .._core import keys
from .._core.cells import read_basis, unwrap
from .._core.messages import unknown
from .._core.names import known_labels
from .._core.verb import verb
from .._rng import generator
from ._panels import COLORS, IMPACT, NCOLS, panels, wrapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from mudata import MuData

    from .._core.names import Knockouts
    from .._rng import RNG
    from ._panels import Drawn


# Panels of a figure with several are this much smaller than one alone.
_SHRINK = 0.6
# Area of a point in square points, times the number of cells: in a panel of rcParams["figure.figsize"], as in scanpy,
# and below arrows.
_POINT_AREA, _SMALL_AREA = 120_000, 60_000
# Inches of a panel with arrows, and of the legend beside all of them.
_SIZE, _LEGEND = (4.6, 4.4), 1.8
# Parts of the diagonal of the embedding that the longest arrows, and that below the panel, take.
_LONGEST, _KEY = 0.08, 0.06
# Share of the arrows that are drawn in full: a few long ones do not make all others invisible.
_USUAL = 0.9
# Cells that a square of the grid needs.
_FEWEST = 2


@verb
def impact(
    adata: AnnData | MuData,
    genes: str | Sequence[str],
    *,
    basis: str = "umap",
    downstream: bool = False,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    ncols: int = NCOLS,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
    **kwargs: Any,
) -> Drawn:
    """Draw the impact of knockouts on an embedding, a panel per knockout, all on one colour scale that starts at 0.

    Cells that do not express the gene are grey and lie beneath the others.

    Parameters
    ----------
    adata
        After :func:`dko.tl.virtual_ko` or :func:`dko.tl.scan`.
    genes, downstream
        One or several labels, and which impacts, as in :func:`dko.get.impact`.
    basis
        Embedding in ``obsm``, with or without its ``X_``: ``"umap"``, ``"pca"``, ``"spatial"``.
    %(ncols)s
    kwargs
        For :func:`scanpy.pl.embedding`: ``cmap``, ``size``, ``na_color`` and so on; ``vmin``, ``vmax`` (numbers) or
        ``norm`` hold for all panels; ``colorbar_loc=None`` leaves out the colour bar.
    %(plot)s
    """
    import matplotlib.pyplot as plt

    target = unwrap(adata, mod)
    table = get.impact(target, genes, downstream=downstream, key=key)
    labels = [str(label) for label in table.columns]
    short, _ = read_basis(target, basis)
    name = basis if basis in target.obsm else f"X_{short}"
    # Columns by number: a label may hold a '/', which some versions of anndata refuse in a name.
    table.columns = [str(number) for number in range(table.shape[1])]
    slim = AnnData(obs=table, obsm={name: target.obsm[name]})
    norm = _shared_norm(table, kwargs)
    bar = kwargs.pop("colorbar_loc", "right")
    counted = zip(labels, table.notna().sum(), strict=True)
    titles = kwargs.pop("title", None) or [wrapped(f"{label} ({n:,} cells)", 32) for label, n in counted]
    titles = [titles] if isinstance(titles, str) else list(titles)
    if len(titles) != len(labels):
        raise ValueError(f"title needs one entry per knockout ({len(labels)}), got {len(titles)}.")
    shrink = 1.0 if len(labels) == 1 else _SHRINK
    kwargs.setdefault("size", _POINT_AREA / target.n_obs * shrink**2)
    if "color_map" not in kwargs:
        kwargs.setdefault("cmap", "viridis")
    width, height = plt.rcParams["figure.figsize"]
    projection = {"projection": "3d"} if kwargs.get("projection") == "3d" else None
    size = (width * shrink, height * shrink)
    drawn = panels(len(labels), ax, size=size, ncols=ncols, what="knockout", subplot_kw=projection)
    for panel, column, title in zip(drawn.axes, table.columns, titles, strict=True):
        embedding(slim, basis, color=column, title=title, norm=norm, colorbar_loc=None, ax=panel, show=False, **kwargs)
    if bar is not None:
        drawn.color_bar(f"{'downstream impact' if downstream else 'impact'} ({IMPACT})", location=bar)
    return drawn.finish(show, return_fig)


def _shared_norm(table: pd.DataFrame, kwargs: dict[str, Any]) -> Normalize:
    """Take from the keywords one scale for all panels; cells that do not express the genes have no say."""
    from matplotlib.colors import Normalize

    vmin, vmax = kwargs.pop("vmin", 0.0), kwargs.pop("vmax", None)
    if not all(isinstance(bound, Real | None) for bound in (vmin, vmax)):
        raise ValueError(f"vmin and vmax must be numbers, as all panels share one scale; got {vmin!r} and {vmax!r}.")
    largest = np.nanmax(table.to_numpy(), initial=0.0) or 1.0
    return kwargs.pop("norm", None) or Normalize(vmin, largest if vmax is None else vmax)


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
    """Draw where knockouts would shift cells on an embedding, a panel per knockout.

    Arrows are drawn longer or shorter than the shifts, by the factor in the title of each panel; the arrow below it
    stands for the length beside it, in units of the embedding. The few longest are cut short. Numbers are in
    :func:`dko.get.identity`.

    Parameters
    ----------
    adata
        After :func:`dko.tl.identity_shift`.
    %(labels)s
    basis
        Embedding that was named there, with or without its ``X_``.
    kind
        ``"quiver"``: an arrow per cell. ``"grid"``: the mean shift of the cells in each square of a grid, from where
        they are on average; what cells do not have in common averages out.
    color
        ``obs`` column that colours the cells below the arrows; grey by default.
    n_arrows
        Most cells with an arrow in a panel, drawn at random; or, with ``kind="grid"``, most squares.
    %(rng)s
    %(ncols)s
    kwargs
        For :func:`scanpy.pl.embedding`, which draws the cells: ``size``, ``alpha``, ``palette``, ``frameon`` and so on.
    %(plot)s
    """
    if kind not in ("quiver", "grid"):
        raise ValueError(f"kind={kind!r} must be 'quiver' or 'grid'.")
    target = unwrap(adata, mod)
    short, places = read_basis(target, basis)
    shifts = _shifts(target, genes, short, key)
    background = _background(target, places, short, color)
    names = color is not None and isinstance(background.obs[color].dtype, pd.CategoricalDtype)
    width = _SIZE[0] + (_LEGEND / min(len(shifts), ncols) if names else 0)
    drawn = panels(len(shifts), ax, size=(width, _SIZE[1]), ncols=ncols, what="knockout")
    options = {"size": _SMALL_AREA / target.n_obs, **({} if color is None else {"alpha": 0.6}), **kwargs}
    diagonal = float(np.linalg.norm(np.nanmax(places, axis=0) - np.nanmin(places, axis=0)))
    draw = generator(rng)
    for panel, (label, offsets) in zip(drawn.axes, shifts.items(), strict=True):
        # The legend of one panel is that of all.
        legend = {} if panel is drawn.axes[-1] else {"legend_loc": None}
        embedding(background, short, color=color, ax=panel, show=False, colorbar_loc=None, **{**legend, **options})
        starts, arrows = (
            _on_grid(places, offsets, n_arrows) if kind == "grid" else _some(places, offsets, n_arrows, draw)
        )
        arrows, factor = _magnified(arrows, _LONGEST * diagonal)
        style: dict[str, Any] = {"angles": "xy", "scale_units": "xy", "scale": 1, "color": "black", "zorder": 4}
        quiver = panel.quiver(*starts.T, *arrows.T, width=0.004 if kind == "grid" else 0.003, **style)
        panel.update_datalim(starts + arrows)
        panel.autoscale_view()
        length = _rounded(_KEY * diagonal / factor)
        text = f"{length:g} {short.upper()}"
        panel.quiverkey(quiver, 0.93, -0.035, length * factor, text, labelpos="W", fontproperties={"size": 8})
        n_cells = int(np.isfinite(offsets).all(axis=1).sum())
        panel.set_title(wrapped(f"{label} ({n_cells:,} cells), shifts × {factor:g}", 40), fontsize="medium")
    if color is not None and not names:
        drawn.color_bar(color)
    return drawn.finish(show, return_fig)


def _shifts(adata: AnnData, genes: Knockouts | None, basis: str, key: str) -> dict[str, np.ndarray]:
    """Return the shifts of each knockout, cells x 2."""
    start = keys.shift(key, basis, "")
    known = [keys.unescape(name.removeprefix(start)) for name in adata.obsm if name.startswith(start)]
    if not known:
        raise KeyError(
            f"No shifts on {basis!r} under key {key!r}; "
            f"run dko.tl.identity_shift(adata, genes, basis={basis!r}, key={key!r}) first."
        )
    labels = known if genes is None else known_labels(genes, known, f"the shifts on {basis!r}", "dko.tl.identity_shift")
    return {label: np.asarray(adata.obsm[keys.shift(key, basis, label)], dtype=float) for label in labels}


def _background(adata: AnnData, places: np.ndarray, basis: str, color: str | None) -> AnnData:
    """Return cells for scanpy to draw; True and False are names, which pandas counts among the numbers."""
    if color is not None and color not in adata.obs:
        raise KeyError(unknown("column", [color], adata.obs.columns, "adata.obs"))
    found = AnnData(obs=adata.obs[[] if color is None else [color]].copy(), obsm={f"X_{basis}": places})
    is_number = pd.api.types.is_numeric_dtype
    if color is None or (is_number(found.obs[color]) and not pd.api.types.is_bool_dtype(found.obs[color])):
        return found
    found.obs[color] = found.obs[color].astype("category")
    n = len(found.obs[color].cat.categories)
    chosen = adata.uns.get(f"{color}_colors", COLORS if n <= len(COLORS) else None)
    if chosen is not None:
        found.uns[f"{color}_colors"] = list(chosen)[:n]
    return found


def _some(places: np.ndarray, offsets: np.ndarray, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return where arrows begin and how far they go, of at most `n` cells that have one."""
    rows = np.flatnonzero(np.isfinite(np.hstack([places, offsets])).all(axis=1))
    rows = np.sort(rng.choice(rows, n, replace=False)) if len(rows) > n else rows
    return places[rows], offsets[rows]


def _on_grid(places: np.ndarray, offsets: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the same on average over the cells in each of at most `n` squares."""
    from scipy.stats import binned_statistic_2d

    sides = np.nanmax(places, axis=0) - np.nanmin(places, axis=0)
    step = float(np.sqrt(sides.prod() / n)) or float(sides.max()) / n or 1.0
    found = np.hstack([places, offsets])
    found = found[np.isfinite(found).all(axis=1)].T
    limits = np.stack([np.nanmin(places, axis=0), np.nanmax(places, axis=0)], axis=1)
    squares = {"bins": np.clip(sides / step, 1, n).astype(int), "range": limits}
    n_cells = binned_statistic_2d(*found[:2], None, "count", **squares).statistic
    means = binned_statistic_2d(*found[:2], list(found), "mean", **squares).statistic[:, n_cells >= _FEWEST]
    return means[:2].T, means[2:].T


def _magnified(offsets: np.ndarray, longest: float) -> tuple[np.ndarray, float]:
    """Return arrows of which nearly all are at most `longest`, the others cut, and by which round number they grew."""
    lengths = np.linalg.norm(offsets, axis=1)
    usual = float(np.quantile(lengths, _USUAL)) if len(lengths) else 0.0
    factor = _rounded(longest / (usual or lengths.max())) if lengths.any() else 1.0
    cut = np.minimum(1.0, longest / np.maximum(lengths * factor, np.finfo(float).tiny))
    return offsets * (factor * cut)[:, None], factor


def _rounded(value: float) -> float:
    """Round down to 1, 2 or 5 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(f"{max(digit for digit in (1, 2, 5) if digit * power <= value * (1 + 1e-9)) * power:.1g}")
