"""The ranking of the genes of one group of cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..._core.genes import gene_kinds, gene_means, in_order

if TYPE_CHECKING:
    import pandas as pd

    from ._dependence import Test
    from ._scanned import Scanned

_COLUMNS = [
    *("gene", "downstream_mean", "downstream_low", "downstream_high", "impact_mean", "specificity", "pval", "pval_adj"),
    *("n_cells", "fraction", "expression_mean", "mark"),
]


@dataclass(frozen=True)
class Plan:
    """What was asked for."""

    by: str
    exclude: tuple[str, ...]
    n_bootstraps: int
    min_cells: int


def rank_group(
    scanned: Scanned, members: np.ndarray, var: pd.DataFrame, plan: Plan, test: Test, rng: np.random.Generator
) -> pd.DataFrame:
    """Return a row per gene that enough scanned cells of a group express, best first; `var` is of these genes."""
    from scipy.stats import false_discovery_control

    from ...models.significance import bootstrap_means

    part = scanned.rows(np.flatnonzero(members))
    table = gene_means({"downstream_mean": part.downstream, "impact_mean": part.impact}, part.observed, var)
    n_cells = table["n_cells"].to_numpy()
    kinds = gene_kinds(var, n_cells)
    kept = n_cells >= plan.min_cells
    for kind in plan.exclude:
        kept &= ~kinds[kind]
    ends = bootstrap_means(part.downstream[part.cells], plan.n_bootstraps, rng)
    table["downstream_low"], table["downstream_high"] = ends
    if not members.all():
        table["specificity"] = _specificity(part, scanned.rows(np.flatnonzero(~members)), len(var))
    table["pval"] = test(members & scanned.cells, rng)
    table = table[kept]
    table["pval_adj"] = false_discovery_control(table["pval"]) if len(table) else table["pval"]
    return in_order(table, plan.by, "pval_adj")[[name for name in _COLUMNS if name in table]]


def _specificity(part: Scanned, others: Scanned, n_genes: int) -> np.ndarray:
    """Return the log2 ratio of the mean downstream impact in a group and in other cells; 0 in cells that lack a gene.

    NaN where no other cell was scanned.
    """
    if not others.cells.any():
        return np.full(n_genes, np.nan)

    def mean(cells: Scanned) -> np.ndarray:
        values = cells.downstream
        return np.bincount(values.indices, weights=values.data, minlength=n_genes) / max(int(cells.cells.sum()), 1)

    here, elsewhere = mean(part), mean(others)
    known = (here > 0) | (elsewhere > 0)
    constant = np.median((here + elsewhere)[known] / 2) if known.any() else 1.0
    return np.log2((here + constant) / (elsewhere + constant))
