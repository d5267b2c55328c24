"""Genes whose rank says little of how cells are regulated: of ribosomes, of mitochondria, and of few cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..models.base import FDR

if TYPE_CHECKING:
    from .scans import Sums


MITOCHONDRIAL, RIBOSOMAL, FEW = KINDS = ("mitochondrial", "ribosomal", "few cells")
# Columns of var that scanpy users make for its quality control, and the prefixes that they make them by; kinases of
# ribosomal proteins (RPS6KA1) are none.
_COLUMNS = {MITOCHONDRIAL: ("mt", r"^MT-"), RIBOSOMAL: ("ribo", r"^RP[SL](?!6K|19BP)")}
# Cells below which a mean over them is marked.
FEW_CELLS = 30


def gene_kinds(var: pd.DataFrame, n_cells: np.ndarray) -> dict[str, np.ndarray]:
    """Return a mask of the genes of each kind, by a boolean column ``mt`` or ``ribo`` of `var` or else by names."""
    names = pd.Series(var.index.astype(str))
    kinds = {}
    for kind, (column, prefix) in _COLUMNS.items():
        if column in var and pd.api.types.is_bool_dtype(var[column].dtype):
            kinds[kind] = var[column].to_numpy(dtype=bool, na_value=False)
        else:
            kinds[kind] = names.str.contains(prefix, case=False).to_numpy(dtype=bool)
    return {**kinds, FEW: n_cells < FEW_CELLS}


def gene_means(sums: Sums, var: pd.DataFrame) -> pd.DataFrame:
    """Return what a scan and the observed profiles say of each gene, as :func:`dko.get.ranking` has it."""
    n_cells = sums.n_scanned.astype(np.int64)
    kinds = gene_kinds(var, n_cells)
    return pd.DataFrame(
        {
            "gene": list(var.index),
            **{name: total / np.maximum(n_cells, 1) for name, total in sums.impacts.items()},
            "n_cells": n_cells,
            "fraction": sums.n_seen / max(sums.n_cells, 1),
            "expression_mean": sums.shares / np.maximum(sums.n_expressing, 1),
            "mark": np.select(list(kinds.values()), list(kinds), "").astype(object),
        }
    )


def in_order(table: pd.DataFrame, by: str, rate: str) -> pd.DataFrame:
    """Sort genes: those with evidence (`rate`, if known) first, and in both parts those of few cells last."""
    silent = table[rate] > FDR if rate in table else np.zeros(len(table), dtype=bool)
    few = table["n_cells"] < FEW_CELLS
    return table.iloc[np.lexsort([-table[by], few, silent])].reset_index(drop=True)
