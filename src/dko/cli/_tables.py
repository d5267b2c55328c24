"""Results as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import get
from .._compat import dense
from .._core import keys
from .._core.cells import unwrap
from .._core.fitted import read_fitted
from .._core.groups import group_values
from .._core.results import DOSES, read_params
from ..get._fit_quality import predict_all
from ..metrics._agreement import spearman

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

_QUALITY = {
    "bray_curtis": "Bray-Curtis",
    "spearman": "Spearman",
    "spearman_within_gene": "within genes",
    "all": "all entries",
}
_KEYSTONE = {
    "group": "group",
    "gene": "gene",
    "downstream_mean": "downstream",
    "signal": "FDR",
    "impact_mean": "impact",
    "expression_mean": "expression",
    "n_cells": "cells",
    "fraction": "of cells",
    "mark": "mark",
}
_DOSES = {
    "knockout": "knockout",
    "dose": "dose",
    "impact_mean": "impact",
    "impact_q25": "from",
    "impact_q75": "to",
    "distance": "distance",
    "n_changed": "changed",
    "n_cells": "cells",
}


def quality_table(
    data: AnnData | MuData, *, key: str, mod: str = "rna", groupby: str | None = None, all_entries: bool = False
) -> str:
    """How well cells that did not train are predicted, beside the mean of each gene.

    With `groupby`, by default that of the fit, also beside the mean of each gene in the cell's own group. Correlations
    are over expressed entries; `all_entries` adds that over all, which any prediction with the right zeros has high.
    """
    quality = get.fit_quality(data, groupby=groupby, key=key, mod=mod)
    if all_entries:
        cells, predictions = predict_all(unwrap(data, mod), None, groupby, key)
        observed = dense(cells.X).ravel()
        quality["all"] = [spearman(observed, dense(found).ravel()) for found in predictions.values()]
    title = f"Profiles of {quality.attrs['n_cells']} {quality.attrs['split']} cells as predicted by"
    return f"{title}\n{aligned(quality.rename(columns=_QUALITY), index=True)}"


def keystone_table(adata: AnnData, *, key: str, n_genes: int, groupby: str | None = None) -> str:
    """List the genes of the largest mean downstream impact, of each group if there are groups."""
    ranking = get.ranking(adata, key=key, groupby=groupby)
    if ranking.empty:
        return "Fewer than 10 scanned cells express each of the genes: too few to rank them."
    groups = ranking["group"] if "group" in ranking else np.zeros(len(ranking))
    top = ranking.groupby(groups, observed=True).head(n_genes)
    if "group" in top:
        top = top.assign(group=top["group"].astype(str).where(~top["group"].duplicated(), ""))
    table = top[[name for name in _KEYSTONE if name in top]].rename(columns=_KEYSTONE)
    text = f"Keystone genes (downstream: how far other genes move; impact: own share included)\n{aligned(table)}"
    column = groupby or read_fitted(adata, key).params.get("groupby")
    left_out = sorted(set(group_values(adata, column).dropna()) - set(ranking["group"])) if column else []
    return f"{text}\nToo few cells to rank genes: {', '.join(left_out)}." if left_out else text


def knockout_table(adata: AnnData, labels: list[str], *, key: str) -> str:
    """List the impacts of named knockouts."""
    impact = get.impact(adata, labels, key=key)
    table = pd.DataFrame(
        {
            "knockout": labels,
            "cells": impact.notna().sum().to_numpy(),
            "impact": impact.mean().to_numpy(),
            "least": impact.min().to_numpy(),
            "most": impact.max().to_numpy(),
        }
    )
    return f"Impact of each knockout in {_cells_of(adata, key)}\n{aligned(table)}"


def dose_table(adata: AnnData, *, key: str) -> str:
    """List what knockouts do at each dose."""
    params = read_params(adata, DOSES, key)
    table = get.dose_response(adata, key=key)
    dose = "share of cells with the knockout" if params["mixture"] else "in every cell"
    title = (
        f"Each knockout in {_cells_of(adata, key)} (dose: {dose};\n"
        f"impact: mean and middle half; distance: length of the mean change; "
        f"changed: other genes, by more than {params['threshold']:g})"
    )
    return f"{title}\n{aligned(table[[name for name in _DOSES if name in table]].rename(columns=_DOSES))}"


def change_table(adata: AnnData, gene: str, *, key: str, n_genes: int) -> str:
    """List the genes whose share changes most when a gene is knocked out."""
    effect = get.effects(adata, gene, key=key)
    change = pd.Series(effect.X[0], index=effect.var_names).sort_values(kind="stable")
    table = pd.DataFrame({"less of": change.index[:n_genes], "change": change.to_numpy()[:n_genes]})
    table["more of"], table["change "] = change.index[: -n_genes - 1 : -1], change.to_numpy()[: -n_genes - 1 : -1]
    n_cells = effect.obs["n_cells"].iloc[0]
    title = f"Without {gene}, in the {n_cells} cells that express it (mean change of log1p(CP10k))"
    return f"{title}\n{aligned(table)}"


def _cells_of(adata: AnnData, key: str) -> str:
    """Say in which cells a model predicts knockouts."""
    return "unperturbed cells" if read_fitted(adata, key).kind == keys.SCCVAE else "the cells that express it"


def aligned(table: pd.DataFrame, *, index: bool = False, missing: str = "NaN") -> str:
    """Spell a table out: words to the left, numbers to the right."""
    formatters: dict[str, Any] = {_KEYSTONE["fraction"]: "{:.0%}".format}
    for name in [name for name in table if not pd.api.types.is_numeric_dtype(table[name])]:
        width = max(map(len, [name, *table[name]]))
        table = table.rename(columns={name: name.ljust(width)})
        formatters[name.ljust(width)] = f"{{:{width}}}".format
    text = table.to_string(index=index, formatters=formatters, float_format="{:.4f}".format, na_rep=missing)
    return "\n".join(line.rstrip() for line in text.splitlines())
