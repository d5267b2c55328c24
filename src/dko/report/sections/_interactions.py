"""Pairs of genes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import get, pl
from ..._core import keys
from .._blocks import Column, Missing, Section
from .._picture import picture
from .._table import table

if TYPE_CHECKING:
    import pandas as pd

    from .._blocks import Block
    from .._run import Run

_COLUMNS = (
    Column("group", "group", "text"),
    Column("gene_a", "gene", "gene"),
    Column("gene_b", "and gene", "gene"),
    Column("class", "class", "text"),
    Column("z", "z", "signed", "interaction beyond that of unrelated genes, in standard deviations of chance"),
    Column("pval_adj", "FDR", "p"),
    Column("downstream", "downstream impact", note="of both together, 0 to 1"),
    Column("additive", "sum", note="of the downstream impacts of both alone"),
    Column("interaction", "interaction", "signed", "downstream impact minus sum"),
    Column("expected", "expected", "signed", "the same of unrelated genes"),
    Column("n_cells", "cells", "count", "that express both"),
)
_MOST_GROUPS = 4


def interactions(run: Run) -> Section | Missing:
    """Show which pairs do more or less together than unrelated genes would."""
    uns, place = run.adata.uns, keys.interactions(run.key)
    if place not in uns:
        return Missing("Interactions of pairs of genes", run.call("tl.interactions", "genes", groupby=run.groupby))
    found = get.interactions(run.adata, key=run.key)
    counts = found["class"].value_counts()
    said = ", ".join(f"{n:,} {name}" for name, n in counts.items() if n)
    lead = (
        f"Pairs that do more (synergy) or less (buffering) together than unrelated genes with these impacts would. Of "
        f"{len(found):,} pairs: {said}. The model has seen no double knockout: a pair that interacts is one that acts "
        "on the same genes."
    )
    rows = found.loc[found["z"].abs().sort_values(ascending=False, kind="stable").index]
    top = rows.groupby("group", observed=True).head(run.n_genes) if "group" in rows else rows.head(run.n_genes)
    blocks = [*_pictures(run, found), table(top, _COLUMNS, "Pairs of genes, the largest z first")]
    return Section("interactions", "Interactions of genes", lead, blocks, run.call("get.interactions"))


def _pictures(run: Run, found: pd.DataFrame) -> list[Block]:
    """Draw the pairs of each of the first groups."""
    groups = [None] if "group" not in found else list(dict.fromkeys(found["group"].astype(str)))[:_MOST_GROUPS]
    blocks: list[Block] = []
    for group in groups:
        for kind in ("matrix", "network"):
            drawn = pl.pairs(run.adata, kind=kind, group=group, key=run.key, return_fig=True)
            alt = f"Pairs of genes that interact{'' if group is None else f' in {group}'}, as a {kind}"
            blocks.append(picture(drawn, alt))
    return blocks
