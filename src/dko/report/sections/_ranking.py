"""Keystone genes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from ... import pl
from ...pl._values import FDR, rates
from .._blocks import Column, Missing, Section, Text
from .._cells import draw_groups, draw_impacts
from .._picture import picture
from .._table import table

if TYPE_CHECKING:
    from .._blocks import Block
    from .._rankings import Ranking
    from .._run import Run

_COLUMNS = (
    Column("group", "group", "text"),
    Column("gene", "gene", "gene"),
    Column("mark", "mark", "text"),
    Column(
        "downstream_mean",
        "downstream impact",
        note="how far other genes move: mean Bray-Curtis dissimilarity without the gene, 0 to 1",
    ),
    Column("downstream_low", "95 % interval", "interval", upper="downstream_high"),
    Column("pval_adj", "FDR", "p", "false discovery rate of the downstream impact in these cells"),
    Column("signal", "FDR", "p", "false discovery rate of the downstream impact in the cells of the fit"),
    Column("specificity", "specificity", "signed", "log2 ratio of the downstream impact in and outside the group"),
    Column("impact_mean", "impact", note="mean Bray-Curtis dissimilarity of the whole profile, own share included"),
    Column("expression_mean", "expression", note="mean share of the profile, in the cells that express it"),
    Column("fraction", "of cells", "percent", "that express it"),
    Column("n_cells", "cells", "count"),
)
_OVERVIEW = (
    Column("group", "group", "text"),
    Column("n_cells", "cells", "count"),
    Column("n_ranked", "genes ranked", "count", "those that enough cells of the group express"),
    Column("n_found", "with evidence", "count", f"up to a false discovery rate of {FDR:g}"),
    Column("first", "first genes", "gene"),
)
_LEAD = (
    "Genes whose knockout moves the other genes furthest, those first of which there is evidence (FDR) that others "
    "depend on them. The impact beside it contains the gene's own share of the expression."
)
# Panels of an embedding that keep the overview; names in a row.
_MOST_PANELS, _N_NAMES = 8, 5


def ranking(run: Run) -> Section | Missing:
    """Show the genes with the largest impact, per group and overall."""
    if not run.rankings:
        return Missing("Keystone genes", f"{run.call('tl.scan')}; {run.call('tl.rank_genes', groupby=run.groupby)}")
    blocks = [block for found in run.rankings for block in _blocks(run, found)]
    first = run.rankings[0]
    return Section(
        "ranking", "Keystone genes", _LEAD, [*blocks, *_where(run, first)], run.call("get.ranking", **first.where)
    )


def _blocks(run: Run, found: Ranking) -> list[Block]:
    which = "over all cells" if found.groupby is None else f"in each group of {found.groupby}"
    if found.table.empty:
        return [Text(f"Too few cells express any gene to rank genes {which}.")]
    rows = found.table
    blocks: list[Block] = []
    if "group" in rows:
        blocks.append(table(_overview(run, rows), _OVERVIEW, f"Groups of {found.groupby}"))
        if rows["group"].nunique() > 1:
            drawn = pl.heatmap(run.adata, **found.where, n_genes=3, key=run.key, return_fig=True)
            blocks.append(
                picture(drawn, f"Downstream impact of the first genes of each group in all groups of {found.groupby}")
            )
    drawn = pl.ranking(run.adata, **found.where, n_genes=10, key=run.key, return_fig=True)
    blocks.append(picture(drawn, f"Downstream impact of the first genes {which}"))
    order = f", those up to an FDR of {FDR:g} first" if rates(rows) is not None else ""
    return [*blocks, table(_top(rows, run.n_genes), _COLUMNS, f"The first {run.n_genes} genes {which}{order}")]


def _overview(run: Run, rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row per group: how many genes were ranked, and the names of the first."""
    parts = dict(list(rows.groupby("group", observed=True)))
    table = pd.DataFrame({"group": list(parts), "n_ranked": [len(part) for part in parts.values()]})
    table["n_cells"] = table["group"].astype(str).map(run.groups.value_counts())
    table["first"] = [", ".join(part["gene"].astype(str)[:_N_NAMES]) for part in parts.values()]
    if (known := rates(rows)) is not None:
        table["n_found"] = [int((known[part.index] <= FDR).sum()) for part in parts.values()]
    return table


def _top(found: pd.DataFrame, n_genes: int) -> pd.DataFrame:
    return found.groupby("group", observed=True).head(n_genes) if "group" in found else found.head(n_genes)


def _where(run: Run, found: Ranking) -> list[Block]:
    """Show where the first gene of each group, or the first genes, hit."""
    if run.basis is None or found.table.empty:
        return []
    blocks: list[Block] = []
    if run.groupby is not None:
        drawn = draw_groups(run.adata, run.basis, run.groupby)
        blocks.append(picture(drawn, f"Cells in the embedding {run.basis}, coloured by {run.groupby}"))
    genes = _first(found.table)
    drawn = draw_impacts(run, genes)
    alt = f"Impact in each cell, in the embedding {run.basis}, of the knockouts of {', '.join(genes)}"
    return [*blocks, picture(drawn, alt)]


def _first(found: pd.DataFrame) -> list[str]:
    """Return the first gene of each group, or the first genes."""
    first = _top(found, 1) if "group" in found else found
    return list(dict.fromkeys(map(str, first["gene"])))[:_MOST_PANELS]
