"""How well a fit predicts cells that it has not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import get
from .._core import keys
from .._core.verb import verb
from ._finish import COLORS, SHARE, finish, panels

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

    from ._finish import Drawn

# Above this many points a scatter is a blot: their density is drawn instead.
_MAX_POINTS = 5_000


@verb
def fit(
    adata: AnnData | MuData,
    *,
    split: str | None = None,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw predicted against observed relative expression of cells that the fit has not trained on.

    Only expressed entries (gene and cell) are drawn, their density where there are more than 5,000. Predictions
    below the axis lie on its edge. The Spearman correlation over these entries and the mean Bray-Curtis dissimilarity
    of the cells stand beside those of a prediction from each gene's mean in the training cells, of the same group where
    the fit had groups.

    Parameters
    ----------
    adata
        After :func:`dko.tl.fit`.
    split
        ``"test"``, ``"validation"`` or ``"train"``; by default the test cells, or the validation cells, which have
        chosen the weights, where there are no test cells.
    %(fit)s
    ax, show, return_fig
        As in :func:`dko.pl.impact`.

    Returns
    -------
    None if shown, the figure with `return_fig`, otherwise the axes.

    Raises
    ------
    KeyError
        No fit, no cells of this split, or no training cells.
    """
    quality = get.fit_quality(adata, split=split, key=key, mod=mod)
    split = quality.attrs["split"]
    held_out = get.profiles(adata, split=split, key=key, mod=mod)
    observed = held_out.X
    predicted = np.asarray(held_out.layers["predicted"][observed.nonzero()]).ravel()  # 0 in cells without a model
    axes, ours = panels(1, ax, size=(6.2 if observed.nnz > _MAX_POINTS else 5.2, 4.6), what="fit")
    _draw(axes[0], observed.data, predicted)
    axes[0].set_title(f"{held_out.n_obs:,} {split} cells, {observed.nnz:,} expressed entries", fontsize="medium")
    _write_quality(axes[0], quality)
    return finish(axes, ours=ours, show=show, return_fig=return_fig)


def _draw(ax: Axes, observed: np.ndarray, predicted: np.ndarray) -> None:
    low, high = observed.min() / 1.5, max(observed.max(), predicted.max()) * 1.5
    predicted = np.maximum(predicted, low)
    ax.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high), aspect="equal")
    if len(observed) > _MAX_POINTS:
        extent = (*np.log10([low, high]), *np.log10([low, high]))
        density = ax.hexbin(
            observed,
            predicted,
            xscale="log",
            yscale="log",
            extent=extent,
            gridsize=50,
            mincnt=1,
            bins="log",
            cmap="viridis",
            lw=0.2,
        )
        # Inside the axes' own space: as high as the square, and axes that the user gave keep their size.
        bar = ax.inset_axes((1.03, 0.0, 0.035, 1.0))
        ax.figure.colorbar(density, cax=bar, label="entries (gene and cell)")
    else:
        ax.scatter(observed, predicted, s=6, color=COLORS[0], alpha=0.4, lw=0)
    ax.plot([low, high], [low, high], color="black", lw=0.8, ls="--")
    ax.set(xlabel=f"observed ({SHARE})", ylabel=f"predicted ({SHARE})")


def _write_quality(ax: Axes, quality: pd.DataFrame) -> None:
    """Write the model's numbers above those of the gene means, which are the last row."""
    rows = {"model": quality.loc["model"], "gene mean": quality.iloc[-1]}
    lines = [f"{'':9} Spearman  Bray-Curtis"]
    lines += [f"{name:9} {row['spearman']:8.3f}  {row['bray_curtis']:11.3f}" for name, row in rows.items()]
    box = {"facecolor": "white", "edgecolor": "0.8", "alpha": 0.85, "boxstyle": "round"}
    ax.text(
        0.03, 0.97, "\n".join(lines), transform=ax.transAxes, va="top", family="monospace", fontsize="x-small", bbox=box
    )
