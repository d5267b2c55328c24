"""The log-normalised expression that an SCCVAE is fitted to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._core.scale import take_log
from ._variable_genes import genes_of_sccvae

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scipy import sparse

    from ._perturbed_cells import PerturbedCells


@dataclass(frozen=True)
class LogExpression:
    """Log-normalised expression of all cells.

    Attributes
    ----------
    values
        CSR float32, cells x genes.
    genes
        Names of the columns.
    source
        Parameters that say where it was found, and how it is to be read again.
    """

    values: sparse.csr_matrix
    genes: list[str]
    source: dict[str, Any]


def log_expression(
    values: sparse.csr_matrix,
    names: list[str],
    kind: str,
    genes: str | Sequence[str] | None,
    n_top_genes: int | None,
    cells: PerturbedCells,
    seen: np.ndarray,
) -> LogExpression:
    """Put the values of all cells on the logarithmic scale, in place, and choose the genes."""
    totals = np.asarray(values.sum(axis=1)).ravel()
    target_sum = float(np.median(totals[seen & (cells.number < 0)])) if kind == "counts" else None
    take_log(values, kind, totals, target_sum)
    chosen = genes_of_sccvae(values, seen, names, genes, n_top_genes, cells.targets)
    position = {name: column for column, name in enumerate(names)}
    source = {} if target_sum is None else {"target_sum": target_sum, "n_summed": len(names)}
    if len(chosen) < len(names):
        values = values[:, [position[name] for name in chosen]]
        values.sort_indices()
    return LogExpression(values, chosen, source)
