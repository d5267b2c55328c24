"""Cells on an embedding: the impacts of knockouts, and where these would shift cells."""

from __future__ import annotations

from contextlib import suppress
from numbers import Real
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.colors import Normalize
from scanpy.plotting import palettes

from .. import get
from .._compat import embedding
from .._core import keys
from .._core.cells import read_basis, some_cells, unwrap
from .._core.fitted import read_fitted
from .._core.groups import group_of_cells
from .._core.messages import drawn_of, many, require_one_of, unknown
from .._core.names import known_labels
from .._rng import generator
from ._panels import IMPACT, dot, panels, wrapped
from ._style import COLORS, MUTED, plot

if TYPE_CHECKING:
    from .._typing import RNG, Axes, Knockouts, MuData, Sequence

# Area of a point in square points, times the number of cells: in a panel of rcParams["figure.figsize"], as in scanpy,
# and below arrows.
_POINT_AREA, _SMALL_AREA = 120_000, 60_000
# Points of a picture: of more cells, as many are drawn, at random.
MOST_POINTS = 50_000
# Inches of a panel with arrows, and of the legend beside all of them.
_SIZE, _LEGEND = (4.6, 4.4), 1.8
# Part of the diagonal of the embedding that the longest arrows take, and share of the arrows that are drawn in full: a
# few long ones do not make all others invisible.
_LONGEST, _USUAL = 0.07, 0.9


@plot
def impact(
    adata: AnnData | MuData,
    genes: str | Sequence[str],
    *,
    basis: str = "umap",
    downstream: bool = False,
    groupby: str | None = None,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    ncols: int = 4,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
    **kwargs: Any,
) -> Any:
    """Draw the impact of knockouts on an embedding, a panel per knockout, all on one colour scale that starts at 0.

    Cells that do not express the gene, or are no control cells of an SCCVAE, are grey and lie beneath the others. With
    `groupby`, the first panel shows what the cells are. At most 50,000 cells, chosen at random, are drawn; the titles
    then say so.

    Parameters
    ----------
    adata
        After :func:`dko.tl.virtual_ko` or :func:`dko.tl.scan`.
    genes, downstream
        One or several labels, and which impacts, as in :func:`dko.get.impact`.
    basis
        Embedding in ``obsm``, with or without its ``X_``: ``"umap"``, ``"pca"``, ``"spatial"``.
    groupby
        ``obs`` column of a first panel, such as cell types, in the colours of ``uns``.
    %(ncols)s
    kwargs
        For :func:`scanpy.pl.embedding`: ``cmap``, ``size``, ``na_color`` and so on; ``vmin``, ``vmax`` (numbers) or
        ``norm`` hold for all panels; ``colorbar_loc=None`` leaves out the colour bar.
    %(plot)s

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.tl.virtual_ko(adata, ["CD74", "NKG7"])
    >>> dko.pl.impact(adata, ["CD74", "NKG7"], downstream=True)
    """
    target = unwrap(adata, mod)
    table = get.impact(target, genes, downstream=downstream, key=key)
    labels = [str(label) for label in table.columns]
    short, places = read_basis(target, basis)
    name = basis if basis in target.obsm else f"X_{short}"
    # Columns by number: a label may hold a '/', which some versions of anndata refuse in a name.
    table.columns = [str(number) for number in range(table.shape[1])]
    shown, note = points(np.ones(target.n_obs, dtype=bool))
    slim = AnnData(obs=table[shown], obsm={name: target.obsm[name][shown]})
    vmin, vmax = kwargs.pop("vmin", 0.0), kwargs.pop("vmax", None)
    if not all(isinstance(bound, Real | None) for bound in (vmin, vmax)):
        raise ValueError(f"vmin and vmax must be numbers, as all panels share one scale; got {vmin!r} and {vmax!r}.")
    norm = kwargs.pop("norm", None) or Normalize(vmin, vmax)
    norm.autoscale_None([0.0, np.nanmax(table.to_numpy(), initial=0.0) or 1.0])
    bar = kwargs.pop("colorbar_loc", "right")
    counted = zip(labels, table.notna().sum(), strict=True)
    titles = np.atleast_1d(
        kwargs.pop("title", [wrapped(f"{label} ({many(n, 'cell')}){note}", 32) for label, n in counted])
    )
    if len(titles) != len(labels):
        raise ValueError(f"title needs one entry per knockout ({len(labels)}), got {len(titles)}.")
    shrink = 1.0 if len(labels) == 1 else 0.6
    kwargs.setdefault("size", _POINT_AREA / slim.n_obs * shrink**2)
    width, height = plt.rcParams["figure.figsize"]
    n_before, size = int(groupby is not None), (width * shrink, height * shrink)
    cells = None if groupby is None else grouped_cells(target, groupby, short, places)[shown].copy()
    drawn = panels(n_before + len(labels), ax, size=size, ncols=ncols, what="knockout")
    for panel in drawn.axes[:n_before]:
        embedding(cells, short, color=groupby, ax=panel, show=False, size=kwargs["size"], legend_loc=None)
    for panel, column, title in zip(drawn.axes[n_before:], table.columns, titles, strict=True):
        embedding(slim, basis, color=column, title=title, norm=norm, colorbar_loc=None, ax=panel, show=False, **kwargs)
    if bar is not None:
        label = f"{'downstream impact' if downstream else 'impact'} ({IMPACT})\ngrey: {without_impact(target, key)}"
        drawn.color_bar(label, location=bar)
    if cells is not None and groupby is not None:
        drawn.legend([dot(color, group, mew=0) for group, color in group_colors(cells, groupby).items()], "left")
    return drawn.finish(show, return_fig)


@plot
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
    ncols: int = 4,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
    **kwargs: Any,
) -> Any:
    """Draw where knockouts would shift cells on an embedding, a panel per knockout.

    Arrows are drawn longer than the shifts, so that they can be seen, by one factor in all panels. The arrow below each
    panel shows the scale: its length is written beside it, in units of the embedding, with that factor. The few longest
    arrows are cut. Numbers are in :func:`dko.get.identity`. At most 50,000 cells, chosen at random, are drawn below the
    arrows; the titles then say so.

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

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.tl.identity_shift(adata, "CD74", groupby="cell_type")
    >>> dko.pl.shift(adata, color="cell_type")
    """
    require_one_of(("quiver", "grid"), kind=kind)
    target = unwrap(adata, mod)
    short, places = read_basis(target, basis)
    start = keys.shift(key, short, "")
    known = [keys.unescape(name.removeprefix(start)) for name in target.obsm if name.startswith(start)]
    call = f"dko.tl.identity_shift(adata, genes, basis={short!r}, key={key!r})"
    if not known:
        raise KeyError(f"No shifts on {short!r} under key {key!r}; run {call} first.")
    labels = known if genes is None else known_labels(genes, known, f"the shifts on {short!r}", call)
    shifts = {label: np.asarray(target.obsm[keys.shift(key, short, label)], dtype=float) for label in labels}
    shown, note = points(np.ones(target.n_obs, dtype=bool))
    cells = colored_cells(target, short, places, color)[shown].copy()
    names = color is not None and isinstance(cells.obs[color].dtype, pd.CategoricalDtype)
    width = _SIZE[0] + (_LEGEND / min(len(shifts), ncols) if names else 0)
    shared = {"sharex": True, "sharey": True}
    drawn = panels(len(shifts), ax, size=(width, _SIZE[1]), ncols=ncols, what="knockout", **shared)
    options = {"size": _SMALL_AREA / cells.n_obs, **({} if color is None else {"alpha": 0.6}), **kwargs}
    draw, arrows = generator(rng), []
    for panel, (label, offsets) in zip(drawn.axes, shifts.items(), strict=True):
        # The legend of one panel is that of all.
        legend = {} if panel is drawn.axes[-1] else {"legend_loc": None}
        embedding(cells, short, color=color, ax=panel, show=False, colorbar_loc=None, **{**legend, **options})
        there = np.isfinite(offsets).all(axis=1)
        panel.set_title(wrapped(f"{label} ({many(there.sum(), 'cell')}){note}", 40))
        rows = np.flatnonzero(there & np.isfinite(places).all(axis=1))
        if kind == "quiver" and len(rows) > n_arrows:
            rows = np.sort(draw.choice(rows, n_arrows, replace=False))
        grid = kind == "grid" and len(rows) > 0
        arrows.append(_on_grid(places[rows], offsets[rows], n_arrows) if grid else (places[rows], offsets[rows]))
    _draw_arrows(drawn.axes, arrows, unit=short.upper(), width=0.004 if kind == "grid" else 0.003)
    if color is not None and not names:
        drawn.color_bar(color)
    return drawn.finish(show, return_fig)


def without_impact(adata: AnnData, key: str) -> str:
    """Say why cells have no impact; results whose fit is gone are taken for those of a model of all cells."""
    with suppress(KeyError, ValueError):
        if read_fitted(adata, key).model.where == "control":
            return "no control cell"
    return "gene not expressed"


def points(cells: np.ndarray) -> tuple[np.ndarray, str]:
    """Return which of the cells of a mask are drawn, and what the title says if these are not all."""
    shown = some_cells(cells, generator(0), MOST_POINTS)
    n, n_all = int(shown.sum()), int(cells.sum())
    return shown, "" if n == n_all else f"; points: {drawn_of(n, n_all, 'cell')}"


def colored_cells(
    adata: AnnData, basis: str, places: np.ndarray, color: str | None, *, as_names: bool = False
) -> AnnData:
    """Return cells for scanpy to draw; what is no number is a name, also True and False, and has the user's colours."""
    if color is not None and color not in adata.obs:
        raise KeyError(unknown("column", [color], adata.obs.columns, "adata.obs"))
    found = AnnData(obs=adata.obs[[] if color is None else [color]].copy(), obsm={f"X_{basis}": places})
    is_number = pd.api.types.is_numeric_dtype
    if color is None or (
        is_number(found.obs[color]) and not (as_names or pd.api.types.is_bool_dtype(found.obs[color]))
    ):
        return found
    found.obs[color] = pd.Categorical(found.obs[color]).rename_categories(str)
    n = len(found.obs[color].cat.categories)
    chosen = adata.uns.get(f"{color}_colors", ())
    colors = next(
        (some for some in (chosen, COLORS, MUTED, palettes.default_20) if len(some) >= n), palettes.default_102
    )
    found.uns[f"{color}_colors"] = [str(one) for one in np.resize(colors, n)]
    return found


def grouped_cells(adata: AnnData, groupby: str, basis: str, places: np.ndarray) -> AnnData:
    """Return cells for scanpy to draw, coloured by their groups; a column that is none of groups is refused."""
    named = pd.notna(group_of_cells(adata, groupby))
    found = colored_cells(adata, basis, places, groupby, as_names=True)
    found.obs[groupby] = found.obs[groupby].where(named)
    return found


def group_colors(cells: AnnData, groupby: str) -> dict[str, str]:
    """Return the colour of each group of :func:`grouped_cells`."""
    return dict(zip(cells.obs[groupby].cat.categories, cells.uns[f"{groupby}_colors"], strict=True))


def _on_grid(places: np.ndarray, offsets: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where cells are, and how far they shift, on average in each of at most `n` squares with two or more."""
    from scipy.stats import binned_statistic_2d

    sides = np.ptp(places, axis=0)
    step = float(np.sqrt(sides.prod() / n)) or float(sides.max()) / n or 1.0
    squares = {"bins": np.clip(sides / step, 1, n).astype(int)}
    n_cells = binned_statistic_2d(*places.T, None, "count", **squares).statistic
    means = binned_statistic_2d(*places.T, [*places.T, *offsets.T], "mean", **squares).statistic[:, n_cells >= 2]
    return means[:2].T, means[2:].T


def _draw_arrows(axes: list[Axes], arrows: list[tuple[np.ndarray, np.ndarray]], *, unit: str, width: float) -> None:
    """Draw shifts from where they start, longer or shorter by one factor in all panels, which is written below."""
    lengths = np.concatenate([np.linalg.norm(offsets, axis=1) for _, offsets in arrows])
    usual = float((len(lengths) and (np.quantile(lengths, _USUAL) or lengths.max())) or 1.0)
    scale = usual / (_LONGEST * np.linalg.norm([np.ptp(axes[0].get_xlim()), np.ptp(axes[0].get_ylim())]))
    style: dict[str, Any] = {"angles": "xy", "scale_units": "xy", "scale": scale, "color": "black", "zorder": 4}
    length = float(f"{usual / 2:.0e}")
    for ax, (starts, offsets) in zip(axes, arrows, strict=True):
        if len(starts):
            cut = offsets * usual / np.maximum(np.linalg.norm(offsets, axis=1, keepdims=True), usual)
            quiver = ax.quiver(*starts.T, *cut.T, width=width, **style)
            ax.update_datalim(starts + cut / scale)
            ax.autoscale_view()
            text = f"{length:g} {unit} (drawn × {1 / scale:.2g})"
            ax.set_xlabel(ax.get_xlabel(), loc="left")  # out of the way
            ax.quiverkey(quiver, 0.93, -0.035, length, text, labelpos="W", fontproperties={"size": 8})
