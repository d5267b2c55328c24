"""Pictures of cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData

from .. import get, pl
from .._compat import embedding
from ..pl._finish import COLORS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ._run import Run

# Area of a point in square points, times the number of cells; and the largest.
_POINT_AREA, _LARGEST = 60_000, 60.0


def draw_groups(adata: AnnData, basis: str, column: str) -> Figure:
    """Draw cells in an embedding, coloured by a column of ``obs``; cells without a place or a value are left out."""
    import matplotlib.pyplot as plt

    name = basis if basis in adata.obsm else f"X_{basis}"
    places = np.asarray(adata.obsm[name][:, :2], dtype=float)
    there = np.isfinite(places).all(axis=1) & adata.obs[column].notna().to_numpy()
    values = pd.Categorical(adata.obs[column])
    # Colours go by all categories of the column, in its order.
    colors = dict(zip(values.categories, adata.uns.get(f"{column}_colors", COLORS), strict=False))
    values = values[there].remove_unused_categories()
    groups = values.rename_categories(str)
    # A copy, because scanpy writes the colours it chooses.
    slim = AnnData(obs=pd.DataFrame({"group": groups}, index=adata.obs_names[there]), obsm={name: places[there]})
    if set(values.categories) <= set(colors):
        slim.uns["group_colors"] = [str(colors[group]) for group in values.categories]
    figure, axes = plt.subplots(figsize=(5.0, 4.2), layout="constrained")
    size = min(_POINT_AREA / max(1, len(groups)), _LARGEST)
    embedding(slim, basis, color="group", title=column, size=size, frameon=False, ax=axes, show=False)
    return figure


def draw_impacts(run: Run, genes: list[str]) -> Figure:
    """Draw where knockouts hit; on a scale that shows the weak ones beside the strong."""
    from matplotlib.colors import PowerNorm

    largest = float(np.nanmax(get.impact(run.adata, genes, key=run.key).to_numpy(), initial=0.0))
    norm = PowerNorm(0.5, vmin=0.0, vmax=largest or 1.0)
    size = min(_POINT_AREA / run.adata.n_obs, _LARGEST)
    return pl.impact(
        run.adata, genes, basis=str(run.basis), norm=norm, size=size, key=run.key, frameon=False, return_fig=True
    )
