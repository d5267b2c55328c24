"""Where knockouts would move cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import get, pl
from ..._core import keys
from ..._core.results import IDENTITY, read_params
from .._blocks import Column, Missing, Section
from .._picture import picture
from .._table import table

if TYPE_CHECKING:
    from .._blocks import Block
    from .._run import Run

_COLUMNS = (
    Column("knockout", "knockout", "gene"),
    Column("group", "cells of", "text"),
    Column("type", "towards", "text"),
    Column("change", "change", "signed", "of the similarity (cosine) to the type; below 0 away from it"),
    Column("length", "length", note="of the shift, among the principal components of the log expression"),
    Column("n_cells", "cells", "count"),
)


def identity(run: Run) -> Section | Missing:
    """Show the shifts, and which types of cells they lead to."""
    if keys.identity(run.key) not in run.adata.uns:
        call = run.call("tl.identity_shift", "genes", groupby=run.groupby)
        return Missing("Where knockouts would move cells", call)
    found = get.identity(run.adata, key=run.key)
    params = read_params(run.adata, IDENTITY, run.key)
    by = "change" if "change" in found else "length"
    order = found[by].abs().sort_values(ascending=False, kind="stable").index
    top = found.loc[order].groupby("knockout", observed=True).head(run.n_genes)
    rows = top.sort_values("knockout", kind="stable") if "type" in top else top
    color = run.groupby if run.groupby in run.adata.obs else None
    drawn = pl.shift(
        run.adata, basis=str(params["basis"]), color=color, kind="grid", ncols=2, key=run.key, return_fig=True
    )
    blocks: list[Block] = [
        picture(drawn, f"Mean shift of cells in the embedding {params['basis']} after each knockout"),
        table(rows, _COLUMNS, f"The {run.n_genes} largest per knockout"),
    ]
    lead = (
        "Which way each knockout would move cells. Arrows are drawn longer or shorter than the shifts, by the factor "
        "in each title; go by the numbers, and take directions, of many cells together, from the picture."
    )
    return Section("identity", "Where cells would move", lead, blocks, run.call("get.identity"))
