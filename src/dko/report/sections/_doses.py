"""Knockouts by degrees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import get, pl
from ..._core import keys
from ..._core.results import DOSES, read_params
from .._blocks import Column, Missing, Section
from .._picture import picture
from .._table import table

if TYPE_CHECKING:
    from .._run import Run

_COLUMNS = (
    Column("knockout", "knockout", "gene"),
    Column("dose", "dose"),
    Column("impact_mean", "impact", note="mean Bray-Curtis dissimilarity, 0 to 1"),
    Column("impact_q25", "middle half of cells", "interval", upper="impact_q75"),
    Column("distance", "distance", note="length of the mean change"),
    Column("n_changed", "changed", "count", "other genes whose mean change exceeds the threshold"),
    Column("n_cells", "cells", "count"),
)


def doses(run: Run) -> Section | Missing:
    """Show the curves of impact over dose."""
    if keys.dose_response(run.key) not in run.adata.uns:
        return Missing("Knockouts by degrees", run.call("tl.dose_response", "genes"))
    found = get.dose_response(run.adata, key=run.key)
    params = read_params(run.adata, DOSES, run.key)
    dose = "the part of the shift that each cell gets" if run.sccvae else "the part that each cell loses"
    dose = "the share of cells with the knockout" if params["mixture"] else dose
    drawn = pl.dose_response(run.adata, key=run.key, return_fig=True)
    return Section(
        "doses",
        "Knockouts by degrees",
        f"What knockouts do as their dose grows: {dose}. Genes count as changed above {params['threshold']:g}.",
        [
            picture(drawn, f"Impact against dose of {', '.join(dict.fromkeys(found['knockout'].astype(str)))}"),
            table(found, _COLUMNS, "Dose response"),
        ],
        run.call("get.dose_response"),
    )
