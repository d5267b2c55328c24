"""Genes that knockouts change."""

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

_NAMES = (Column("knockout", "knockout", "gene"), Column("group", "group", "text"))
_COLUMNS = (
    *_NAMES,
    Column("gene", "gene", "gene"),
    Column("change", "change", "signed", "predicted mean change of log1p(1e4 × share), after minus before"),
    Column(
        "z",
        "z",
        "signed",
        "how surely it is co-expressed with the knocked-out gene in these cells, below 0 for genes that fall",
    ),
    Column("pval_adj", "FDR", "p", "of z"),
    Column("others", "others", "percent", "other knockouts that change the gene at least as much"),
    Column("is_specific", "specific", "text", "at most 5 % do"),
)
_COUNTS = (
    *_NAMES,
    Column("n_cells", "cells", "count", "that express the knocked-out gene"),
    Column("lowered", "lowered", "count", "genes at a false discovery rate of 5 %, by z"),
    Column("raised", "raised", "count", "likewise"),
    Column("agree", "of one sign", "percent", "those whose predicted change has the sign of z"),
    Column("n_specific", "specific", "count", "those that at most 5 % of other knockouts change as much"),
)
_SETS = (
    *_NAMES,
    Column("source", "set of genes", "text"),
    Column("score", "score", "signed", "below 0 where the knockout lowers the set"),
    Column("pval_adj", "FDR", "p"),
)
_ALPHA = 0.05
_MOST_PANELS = 6


def affected(run: Run) -> Section | Missing:
    """Show which genes the knockouts change, and which sets of genes."""
    if keys.affected(run.key) not in run.adata.uns:
        return Missing("Genes that a knockout changes", run.call("tl.affected_genes", "genes", groupby=run.groupby))
    found = get.affected_genes(run.adata, key=run.key)
    by = _by(found)
    found = found.assign(is_specific=found["specific"].map({True: "yes", False: "no"}))
    top = found.groupby(by, observed=True).head(run.n_genes).sort_values(by, kind="stable")
    blocks: list[Block] = [
        *_pictures(run, found),
        table(_counts(found, by), _COUNTS, "Genes that change"),
        table(top, _COLUMNS, f"The first {run.n_genes} genes per {' and '.join(by)}, the smallest p-value first"),
    ]
    if keys.enrichment(run.key) in run.adata.uns:
        sets = get.enrichment(run.adata, key=run.key)
        order = sets["score"].abs().sort_values(ascending=False, kind="stable").index
        first = sets.loc[order].groupby(_by(sets), observed=True).head(run.n_genes)
        blocks.append(table(first, _SETS, "Sets of genes that change, the largest score first"))
    lead = (
        "Which genes each knockout lowers or raises. `change` is what the model foretells, `z` what the cells show of "
        "these two genes alone: trust a change whose z is significant and of its sign."
    )
    return Section("affected", "Genes that knockouts change", lead, blocks, run.call("get.affected_genes"))


def _by(rows: pd.DataFrame) -> list[str]:
    return ["knockout", "group"] if "group" in rows else ["knockout"]


def _counts(found: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Count the significant genes of each knockout."""
    significant = found["pval_adj"] <= _ALPHA
    marks = found[[*by, "n_cells"]].assign(
        lowered=significant & (found["z"] < 0),
        raised=significant & (found["z"] > 0),
        agree=(found["change"] * found["z"] > 0).where(significant),
        n_specific=significant & found["specific"],
    )
    how = {"n_cells": "first", "lowered": "sum", "raised": "sum", "agree": "mean", "n_specific": "sum"}
    return marks.astype({"agree": float}).groupby(by, observed=True).agg(how).reset_index()


def _pictures(run: Run, found: pd.DataFrame) -> list[Block]:
    """Draw the volcanoes of the first knockouts, in the first groups, and what all of them change."""
    groups = [str(group) for group in found["group"].unique()][:_MOST_PANELS] if "group" in found else None
    first = [str(name) for name in found["knockout"].unique()][: max(1, _MOST_PANELS // len(groups or [""]))]
    drawn = pl.effect(run.adata, first, group=groups, n_genes=8, ncols=3, key=run.key, return_fig=True)
    alt = f"Change of each gene and how sure it is, after knocking out {', '.join(first)}"
    blocks: list[Block] = [picture(drawn, alt)]
    if found["knockout"].nunique() > 1:
        drawn = pl.effect(run.adata, kind="heatmap", key=run.key, return_fig=True)
        blocks.append(picture(drawn, "Change of the genes that change most, after each knockout"))
    return blocks
