"""The ranking of the genes of one group of cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..._gene_means import gene_means

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._scanned import Scanned

# False discovery rate up to which a gene is called.
CALLED = 0.05
_TINY = np.finfo(float).tiny
# Of the median excess: what is less is rounding.
_FLOOR = 1e-3


@dataclass(frozen=True)
class Plan:
    """What was asked for."""

    by: str
    n_permutations: int | None
    n_bootstraps: int
    min_cells: int


def tested(part: Scanned, plan: Plan) -> np.ndarray:
    """Return which genes enough scanned cells express, to be compared with each other."""
    present = np.bincount(part.counts[part.cells].indices, minlength=part.counts.shape[1])
    return present >= plan.min_cells


def rank_group(
    part: Scanned, others: Scanned | None, genes: list[str], plan: Plan, rng: np.random.Generator, advance: Callable
) -> pd.DataFrame:
    """Return a row per gene that enough scanned cells express, best first; `others` are all other cells."""
    table = gene_means(part.impact, part.observed, genes)
    kept = table["n_cells"].to_numpy() >= plan.min_cells
    excess, n_cells = part.excess, np.maximum(table["n_cells"].to_numpy(), 1)
    own = np.bincount(part.share.indices, weights=part.share.data, minlength=len(genes)) / n_cells
    table["impact_excess"] = np.bincount(excess.indices, weights=excess.data, minlength=len(genes)) / n_cells
    expected = np.full(len(genes), np.nan)
    expected[kept] = _expected(table["impact_excess"].to_numpy()[kept], own[kept], table["fraction"].to_numpy()[kept])
    table["impact_beyond"] = table["impact_excess"] - expected
    _intervals(table, part, expected, plan, rng)
    if others is not None:
        table["specificity"] = _specificity(part, others, len(genes))
    table["pval"] = _p_values(part, kept, plan, rng, advance)
    table = table[kept]
    table["pval_adj"] = _adjusted(table["pval"].to_numpy())
    # Rare genes have large means by chance: those that nothing goes with come last.
    order = np.lexsort([-table[plan.by], table["pval_adj"] > CALLED])
    return table.iloc[order].reset_index(drop=True)[_ordered(table)]


def _expected(excess: np.ndarray, share: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    """Return the excess of genes of such a share in such a fraction of cells; factors, as they span magnitudes."""
    from ...models.significance import trend

    floor = max(float(np.median(excess)) * _FLOOR, _TINY) if len(excess) else _TINY
    share, fraction = (np.log(np.maximum(level, _TINY)) for level in (share, fraction))
    logs = np.log(np.maximum(excess, floor))
    # At most what any gene has: values that are rounding errors alone would give any slope.
    return np.exp(np.minimum(trend(logs, np.column_stack([share, fraction])), logs.max(initial=-np.inf)))


def _ordered(table: pd.DataFrame) -> list[str]:
    order = ["gene", "impact_mean", "impact_low", "impact_high", "impact_excess", "impact_beyond", "beyond_low"]
    order += ["beyond_high", "n_cells", "fraction", "expression_mean", "specificity", "pval", "pval_adj"]
    return [name for name in order if name in table]


def _intervals(table: pd.DataFrame, part: Scanned, expected: np.ndarray, plan: Plan, rng: np.random.Generator) -> None:
    from ...models.significance import bootstrap_means

    impact, beyond = bootstrap_means([part.impact[part.cells], part.excess[part.cells]], plan.n_bootstraps, rng)
    table["impact_low"], table["impact_high"] = impact
    table["beyond_low"], table["beyond_high"] = (end - expected for end in beyond)


def _p_values(part: Scanned, kept: np.ndarray, plan: Plan, rng: np.random.Generator, advance: Callable) -> np.ndarray:
    """Return p-values of the genes; also of those that were not knocked out, as others are compared with them."""
    from ...models.significance import gene_p_values, levels

    compared = kept | tested(part, plan)
    p_values = np.ones(len(kept))
    if compared.sum() > 1:
        of_cells = levels(part.counts[part.cells], compared)
        p_values[compared] = gene_p_values(of_cells, rng, plan.n_permutations, advance)
    return p_values


def _adjusted(p_values: np.ndarray) -> np.ndarray:
    from scipy.stats import false_discovery_control

    return false_discovery_control(p_values) if len(p_values) else p_values


def _specificity(part: Scanned, others: Scanned, n_genes: int) -> np.ndarray:
    """Return the log2 ratio of the mean excess in the cells of a group and in others; 0 in cells that lack a gene.

    NaN where no other cell was scanned.
    """
    if not others.cells.any():
        return np.full(n_genes, np.nan)

    def mean(cells: Scanned) -> np.ndarray:
        excess = cells.excess
        total = np.bincount(excess.indices, weights=excess.data, minlength=n_genes)
        return np.maximum(total, 0) / max(int(cells.cells.sum()), 1)

    here, elsewhere = mean(part), mean(others)
    known = (here > 0) | (elsewhere > 0)
    constant = np.median((here + elsewhere)[known] / 2) if known.any() else 1.0
    return np.log2((here + constant) / (elsewhere + constant))
