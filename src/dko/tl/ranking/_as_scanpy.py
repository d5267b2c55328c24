"""A ranking in the form of scanpy's ``rank_genes_groups``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

_TYPES = {"names": "O", "scores": "float32", "logfoldchanges": "float32", "pvals": "float64", "pvals_adj": "float64"}


def as_scanpy(tables: dict[str, pd.DataFrame], genes: list[str], by: str) -> dict[str, np.ndarray]:
    """Return structured arrays, a field per group, each with all genes, best first.

    A gene that too few cells of a group express comes last there: score and fold change NaN, p-value 1. The fold change
    is 0 where there are no cells to compare with.
    """
    columns = {group: _columns(table, genes, by) for group, table in tables.items()}
    return {
        name: np.rec.fromarrays([columns[group][name] for group in tables], dtype=[(group, kind) for group in tables])
        for name, kind in _TYPES.items()
    }


def _columns(table: pd.DataFrame, genes: list[str], by: str) -> dict[str, Any]:
    ranked = set(table["gene"])
    last = [gene for gene in genes if gene not in ranked]
    change = table["specificity"].fillna(0) if "specificity" in table else np.zeros(len(table))

    def with_last(values: Any, fill: float) -> np.ndarray:
        return np.concatenate([np.asarray(values, dtype=float), np.full(len(last), fill)])

    return {
        "names": np.array([*table["gene"], *last], dtype=object),
        "scores": with_last(table[by], np.nan),
        "logfoldchanges": with_last(change, np.nan),
        "pvals": with_last(table["pval"], 1),
        "pvals_adj": with_last(table["pval_adj"], 1),
    }
