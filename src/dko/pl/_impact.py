"""Impacts of knockouts on an embedding."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData

from .. import get
from .._compat import embedding
from .._core import keys
from .._core.cells import unwrap
from .._core.messages import listed
from .._core.verb import verb
from ._finish import IMPACT, NCOLS, finish, panels, wrapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from mudata import MuData

    from ._finish import Drawn

# Panels of a figure with several are this much smaller than one alone.
_SHRINK = 0.6
# Area of a point in square points, times the number of cells, in a panel of rcParams["figure.figsize"]; as in scanpy.
_POINT_AREA = 120_000


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
    genes
        One or several labels of knockouts, as in :func:`dko.get.impact`.
    basis
        Embedding in ``obsm``, with or without its ``X_``: ``"umap"``, ``"pca"``, ``"spatial"``.
    downstream
        Draw the downstream impacts instead, those on the other genes alone, as in :func:`dko.get.impact`.
    %(results)s
    ncols
        Most panels beside each other.
    ax
        Axes to draw in, for one knockout.
    show
        Show the figure; by default when it is a new one and ``scanpy.settings.autoshow`` is on.
    return_fig
        Return the figure, which pyplot then forgets.
    kwargs
        Passed on to :func:`scanpy.pl.embedding`: ``cmap``, ``size``, ``na_color``, ``title``, ``frameon`` and so on;
        ``vmin``, ``vmax`` (numbers) or ``norm`` hold for all panels; ``colorbar_loc=None`` leaves out the colour bar.

    Returns
    -------
    None if shown, the figure with `return_fig`, otherwise the axes (a list for several knockouts).

    Raises
    ------
    KeyError
        No such knockout or embedding; no downstream impacts.
    ValueError
        `ax` with several knockouts.
    """
    import matplotlib.pyplot as plt

    target = unwrap(adata, mod)
    table = get.impact(target, genes, downstream=downstream, key=key)
    labels = [str(label) for label in table.columns]
    name = _find_basis(target, basis)
    # Columns by number: a label may hold a '/', which some versions of anndata refuse in a name.
    table.columns = [str(number) for number in range(table.shape[1])]
    slim = AnnData(obs=table, obsm={name: target.obsm[name]})
    norm = kwargs.pop("norm", None) or _shared_norm(table, kwargs.pop("vmin", 0.0), kwargs.pop("vmax", None))
    bar = kwargs.pop("colorbar_loc", "right")
    titles = _titles(kwargs.pop("title", None), table, labels)
    shrink = 1.0 if len(labels) == 1 else _SHRINK
    if not {"s", "size", "scale_factor"} & set(kwargs):
        kwargs["size"] = _POINT_AREA / target.n_obs * shrink**2
    if not {"cmap", "color_map"} & set(kwargs):
        kwargs["cmap"] = "viridis"

    width, height = plt.rcParams["figure.figsize"]
    axes, ours = panels(
        len(labels),
        ax,
        size=(width * shrink, height * shrink),
        ncols=ncols,
        what="knockout",
        subplot_kw={"projection": "3d"} if kwargs.get("projection") == "3d" else None,
    )
    for panel, column, title in zip(axes, table.columns, titles, strict=True):
        embedding(slim, basis, color=column, title=title, norm=norm, colorbar_loc=None, ax=panel, show=False, **kwargs)
    if bar is not None:
        points = next(drawn for drawn in axes[0].collections if drawn.get_array() is not None)
        label = f"{'downstream impact' if downstream else 'impact'} ({IMPACT})"
        axes[0].figure.colorbar(points, ax=axes, location=bar, label=label, aspect=30, pad=0.01)
    return finish(axes, ours=ours, show=show, return_fig=return_fig)


def _find_basis(adata: AnnData, basis: str) -> str:
    for name in (basis, f"X_{basis}"):
        if name in adata.obsm:
            return name
    known = [name for name, values in adata.obsm.items() if not isinstance(values, pd.DataFrame)]
    there = f"there are {listed(known)}" if known else "there is none; run sc.tl.umap(adata) first"
    raise KeyError(f"No embedding {basis!r} in adata.obsm; {there}.")


def _shared_norm(table: pd.DataFrame, vmin: Any, vmax: Any) -> Normalize:
    """Return one scale for all panels; cells that do not express the genes have no say."""
    from matplotlib.colors import Normalize

    if not all(isinstance(bound, Real | None) for bound in (vmin, vmax)):
        raise ValueError(f"vmin and vmax must be numbers, as all panels share one scale; got {vmin!r} and {vmax!r}.")
    largest = np.nanmax(table.to_numpy(), initial=0.0)
    return Normalize(vmin, (largest or 1.0) if vmax is None else vmax)


def _titles(given: str | Sequence[str] | None, table: pd.DataFrame, labels: list[str]) -> list[str]:
    if given is None:
        n_cells = table.notna().sum()
        return [wrapped(f"{label} ({n:,} cells)", 32) for label, n in zip(labels, n_cells, strict=True)]
    titles = [given] if isinstance(given, str) else list(given)
    if len(titles) != len(labels):
        raise ValueError(f"title needs one entry per knockout ({len(labels)}), got {len(titles)}.")
    return titles
