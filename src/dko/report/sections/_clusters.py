"""Cells by what they depend on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import get
from ..._core import keys
from .._blocks import Column, Missing, Section
from .._cells import draw_groups
from .._picture import picture
from .._table import table

if TYPE_CHECKING:
    from .._blocks import Block
    from .._run import Run

_COLUMNS = (
    Column("cluster", "cluster", "text"),
    Column("knockout", "knockout", "gene"),
    Column("score", "score", "signed", "Welch's t of the relative downstream impact, against all other clusters"),
    Column("log_fold_change", "log2 fold change", "signed"),
    Column("downstream_mean", "downstream impact", note="mean over the cells of the cluster that express the gene"),
    Column("fraction", "of cells", "percent", "of the cluster that express it"),
    Column("fraction_others", "of others", "percent", "of the other cells"),
)


def clusters(run: Run) -> Section | Missing:
    """Show the clusters of impacts, what marks them, and how they agree with known groups."""
    place = keys.cluster(run.key)
    if place not in run.adata.uns:
        return Missing("Cells by what they depend on", run.call("tl.cluster_impact", groupby=run.groupby))
    found = get.clusters(run.adata, key=run.key)
    lead = f"Cells grouped by which knockouts hit them hardest: {found['cluster'].nunique()} clusters."
    if keys.AGREEMENT in run.adata.uns[place]:
        agreement = get.clusters(run.adata, what="agreement", key=run.key).iloc[0]
        lead += (
            f" They agree with {agreement['groupby']} at an adjusted mutual information of {agreement['ami']:.2f} and "
            f"an adjusted Rand index of {agreement['ari']:.2f} (1 is the same, 0 chance)."
        )
    blocks: list[Block] = []
    if place in run.adata.obs and keys.impact_umap(run.key) in run.adata.obsm:
        columns = [place, *([run.groupby] if run.groupby is not None else [])]
        for column in columns:
            drawn = draw_groups(run.adata, keys.impact_umap(run.key), column)
            blocks.append(picture(drawn, f"Cells in a map of their downstream impacts, coloured by {column}"))
    top = found.groupby("cluster", observed=True, sort=False).head(max(3, run.n_genes // 4))
    blocks.append(table(top, _COLUMNS, "Knockouts that mark each cluster, best first"))
    return Section("clusters", "Cells by what they depend on", lead, blocks, run.call("get.clusters"))
