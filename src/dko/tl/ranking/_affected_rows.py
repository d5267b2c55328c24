"""Which genes change with each of a few, in the cells of one group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from scipy import sparse

# Share of the other knockouts that change a gene as much, at which a change is no longer particular to one of them.
SPECIFIC = 0.05


def affected_rows(
    counts: sparse.csr_matrix, changes: pd.DataFrame, others: pd.DataFrame, min_cells: int
) -> list[pd.DataFrame]:
    """Return a table of all genes for each knockout.

    Parameters
    ----------
    counts
        Cells of the group x genes of the model.
    changes
        Mean changes, knockouts x genes of the model.
    others
        The same of knockouts to compare with; each is compared with all of them but itself.
    min_cells
        Genes that fewer cells express are not tested.
    """
    from scipy.stats import false_discovery_control

    genes = pd.Index(changes.columns)
    drawn, own = others.to_numpy(), genes.get_indexer(others.index)
    z, p_values = _tested(counts, genes.get_indexer(changes.index), min_cells)
    tables = []
    for row, knockout in enumerate(changes.index):
        change = changes.iloc[row].to_numpy(dtype=np.float64)
        adjusted = np.ones(len(genes))
        tested = np.isfinite(z[row])
        if tested.any():
            adjusted[tested] = false_discovery_control(p_values[row, tested])
        apart = others.index != knockout
        as_much = _as_much(change, drawn[apart], own[apart])
        table = pd.DataFrame(
            {
                "knockout": knockout,
                "gene": genes,
                "change": change.astype(np.float32),
                "z": z[row].astype(np.float32),
                "pval": p_values[row],
                "pval_adj": adjusted,
                "specific": (change != 0) & (as_much <= SPECIFIC),
                "others": as_much.astype(np.float32),
            }
        )
        table = table[table["gene"] != knockout]
        tables.append(table.sort_values("pval", kind="stable", ignore_index=True))
    return tables


def _tested(counts: sparse.csr_matrix, rows: np.ndarray, min_cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Return z-scores of knockouts, NaN where nothing is tested, and p-values (knockouts, genes)."""
    from ...models.significance import associations, levels, pair_p_values

    kept = np.bincount(counts.indices, minlength=counts.shape[1]) >= min_cells
    z, p_values = np.full((len(rows), counts.shape[1]), np.nan), np.ones((len(rows), counts.shape[1]))
    of_cells = levels(counts, kept)
    places = (np.cumsum(kept) - 1)[rows]
    found = associations(of_cells, places)
    z[:, kept] = np.where(of_cells.varies, -found, np.nan)
    p_values[:, kept] = pair_p_values(found, of_cells, places)
    z[np.arange(len(rows)), rows] = np.nan
    return z, p_values


def _as_much(change: np.ndarray, others: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return the share of other knockouts that change each gene at least as much, in the same direction.

    What a knockout does to its own gene does not count. NaN without others.
    """
    if not len(others):
        return np.full(len(change), np.nan)
    as_much = np.sign(change) * others >= np.abs(change)
    as_much[np.arange(len(own)), own] = False
    counted = np.full(len(change), len(others))
    np.subtract.at(counted, own, 1)
    return as_much.sum(0) / np.maximum(counted, 1)
