"""Knockouts that do the same kind of thing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import get, pl
from ..._core import keys
from .._blocks import Column, Missing, Section
from .._picture import picture
from .._table import table

if TYPE_CHECKING:
    from .._blocks import Block
    from .._run import Run

_MEMBERS = (
    Column("perturbation", "knockout", "gene"),
    Column("module", "module", "text"),
    Column("strength", "strength", note="length of the effect"),
    Column("p_effect", "p of an effect", "p", "above the limit a knockout has no effect that can be told from chance"),
    Column("silhouette", "silhouette", "signed", "1 in the middle of its module, below 0 nearer to another"),
    Column("n_cells", "cells", "count"),
    Column("group", "known group", "text"),
)
_MARKERS = (
    Column("module", "module", "text"),
    Column("gene", "gene", "gene"),
    Column("change", "change", "signed", "mean predicted change in the module"),
    Column("others", "in others", "signed", "the same in the other modules"),
)
_AGREEMENT = (
    Column("over", "over", "text"),
    Column("ari", "adjusted Rand index", note="of modules and known groups, 1 is the same, 0 chance"),
    Column("nmi", "normalised mutual information"),
    Column("neighbours", "neighbours of one group", "percent"),
    Column("neighbours_expected", "by chance", "percent"),
    Column("neighbours_p", "p", "p"),
)


def modules(run: Run) -> Section | Missing:
    """Show the modules, their members, and the genes that set them apart."""
    place = keys.modules(run.key)
    if place not in run.adata.uns:
        return Missing("Knockouts that do the same kind of thing", run.call("tl.perturbation_modules"))
    members = get.modules(run.adata, key=run.key)
    markers = get.modules(run.adata, what="markers", key=run.key)
    n_modules = members.loc[members["module"] != keys.NO_EFFECT, "module"].nunique()
    without = int((members["module"] == keys.NO_EFFECT).sum())
    lead = (
        f"{len(members):,} knockouts grouped by the kind of their effect: {n_modules} modules, and {without:,} without "
        "an effect that can be told from chance."
    )
    drawn = pl.modules(run.adata, key=run.key, return_fig=True)
    first = markers.groupby("module", observed=True, sort=False).head(max(3, run.n_genes // 4))
    blocks: list[Block] = [
        picture(drawn, "Map of the knockouts, coloured by module"),
        table(members.sort_values(["module", "strength"], ascending=[True, False]), _MEMBERS, "Members of the modules"),
        table(first, _MARKERS, "Genes that set each module apart"),
    ]
    if keys.AGREEMENT in run.adata.uns[place]:
        agreement = get.modules(run.adata, what="agreement", key=run.key)
        blocks.append(table(agreement, _AGREEMENT, "Agreement with known groups"))
    return Section("modules", "Knockouts that act alike", lead, blocks, run.call("get.modules"))
