"""Cells on an embedding, as a page on which each cell can be pointed at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.colors import to_hex

from .._core import keys
from .._core.cells import read_basis, some_cells
from .._core.messages import drawn_of
from .._rng import generator
from ..pl._embedding import group_colors, grouped_cells, without_impact
from ..pl._panels import IMPACT
from ..pl._style import SEQUENTIAL
from ._page import page
from ._run import Run

# Cells of a page, which is then of some megabytes; knockouts, if none are named; steps of the colours.
_MOST_CELLS, _MOST_KNOCKOUTS, _N_COLORS = 20_000, 10, 64
# Share of the impacts within the colours, which a few large ones do not set.
_USUAL = 0.99


def render_embedding(
    run: Run, genes: Sequence[str] | None, *, basis: str, downstream: bool, title: str | None = None
) -> str:
    _, places = read_basis(run.adata, basis)
    known = np.isfinite(places).all(axis=1)
    if not known.any():
        reason = "there is a missing or infinite value in each" if len(known) else "there are no cells"
        raise ValueError(f"No cell has a place in obsm[{basis!r}]: {reason}.")
    cells = some_cells(known, generator(0), _MOST_CELLS)
    impacts = run.get("impact", _labels(run) if genes is None else genes, downstream=downstream)[cells]
    n_cells = drawn_of(int(cells.sum()), int(known.sum()), "cell")
    what = f"{'downstream impact' if downstream else 'impact'} ({IMPACT})"
    return page(
        "embedding.html",
        title=title or "Impact of knockouts in each cell",
        lead=f"{n_cells} in the embedding {basis}, with the {what} of {', '.join(map(str, impacts.columns))}.",
        data={
            **_placed(run, places, cells),
            **_colored(impacts),
            "what": what,
            "grey": without_impact(run.adata, run.key),
        },
    )


def _labels(run: Run) -> list[str] | None:
    """Return the named knockouts or, without any, the first genes of the ranking, of each group if there are any."""
    if keys.KNOCKOUTS in run.fitted.tables:
        return list(run.fitted.table(keys.KNOCKOUTS)["label"].astype(str))[:_MOST_KNOCKOUTS]
    if not run.rankings:
        return None  # and it is said what to run
    table = run.rankings[0].table
    if "group" in table:
        table = table.loc[table.groupby("group", observed=True).cumcount().sort_values(kind="stable").index]
    return list(dict.fromkeys(table["gene"].astype(str)))[:_MOST_KNOCKOUTS]


def _placed(run: Run, places: np.ndarray, cells: np.ndarray) -> dict[str, Any]:
    """Return names, groups and places of cells, these from 0 to 1."""
    names = [str(name) for name in run.adata.obs_names[cells]]
    low, size = places[cells].min(axis=0), np.ptp(places[cells], axis=0)
    x, y = ((places[cells] - low) / np.where(size > 0, size, 1.0)).round(4).T.tolist()
    found: dict[str, Any] = {"name": names, "x": x, "y": y, "group": [-1] * len(names), "groups": [], "colors": []}
    if run.groupby is not None:
        grouped = grouped_cells(run.adata, run.groupby, "none", places)
        colors = group_colors(grouped, run.groupby)
        found |= {"groupby": run.groupby, "groups": list(colors), "colors": [to_hex(one) for one in colors.values()]}
        found["group"] = grouped.obs[run.groupby].cat.codes[cells].tolist()
    return found


def _colored(impacts: pd.DataFrame) -> dict[str, Any]:
    """Return impacts by knockout, None where a cell does not express the gene, and colours from 0 to the largest."""
    rounded = impacts.to_numpy(dtype=float).round(5)
    if np.isinf(rounded).any():
        raise ValueError("Some of these impacts are infinite, which none can be; run dko.tl.scan or virtual_ko again.")
    known = rounded[np.isfinite(rounded)]
    values = rounded.astype(object)
    values[np.isnan(rounded)] = None
    colors = mpl.colormaps[SEQUENTIAL].resampled(_N_COLORS).colors  # type: ignore[attr-defined]
    return {
        "labels": [str(label) for label in impacts.columns],
        "values": values.T.tolist(),
        "most": (float(np.quantile(known, _USUAL)) if len(known) else 0.0) or 1.0,
        "map": [to_hex(color) for color in colors],
    }
