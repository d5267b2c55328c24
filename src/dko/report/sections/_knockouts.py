"""Knockouts that the user has named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import get, pl
from ..._core import keys
from .._blocks import Column, Missing, Section
from .._cells import draw_impacts
from .._picture import picture
from .._table import table

if TYPE_CHECKING:
    from .._blocks import Block
    from .._run import Run

_COLUMNS = (
    Column("label", "knockout", "gene"),
    Column("dose", "dose"),
    Column("n_cells", "cells", "count", "in which it was predicted"),
    Column("mean", "mean impact", note="Bray-Curtis dissimilarity of the profile after and before, 0 to 1"),
    Column("q25", "middle half of cells", "interval", upper="q75"),
    Column("max", "largest"),
)
_MOST_PANELS, _MOST_PROFILES = 8, 4


def knockouts(run: Run) -> Section | Missing:
    """List the impacts of named knockouts, and show where they hit."""
    if keys.KNOCKOUTS not in run.fitted.tables:
        return Missing("Knockouts of genes by name", run.call("tl.virtual_ko", "genes"))
    found = run.fitted.table(keys.KNOCKOUTS)
    labels = [str(label) for label in found["label"]]
    impact = get.impact(run.adata, labels, key=run.key)
    rows = found.assign(
        mean=impact.mean().to_numpy(),
        q25=impact.quantile(0.25).to_numpy(),
        q75=impact.quantile(0.75).to_numpy(),
        max=impact.max().to_numpy(),
    ).sort_values("mean", ascending=False, kind="stable")
    blocks: list[Block] = [table(rows, _COLUMNS, "Named knockouts, the largest mean impact first")]
    if run.basis is not None:
        shown = [str(label) for label in rows["label"][:_MOST_PANELS]]
        drawn = draw_impacts(run, shown)
        blocks.append(picture(drawn, f"Impact in each cell, in the embedding {run.basis}, of {', '.join(shown)}"))
    profiled = [label for label in rows["label"] if keys.ko_layer(run.key, str(label)) in run.adata.layers]
    if profiled and not run.sccvae:
        drawn = pl.profile(run.adata, profiled[:_MOST_PROFILES], n_genes=15, key=run.key, return_fig=True)
        blocks.append(picture(drawn, f"Mean profiles before and after {', '.join(profiled[:_MOST_PROFILES])}"))
    where = "control cells" if run.sccvae else "the cells that express the gene"
    lead = f"How far the profile that is predicted without a gene is from the one before, in {where}."
    return Section("knockouts", "Named knockouts", lead, blocks, run.call("get.impact", repr(labels[:3])))
