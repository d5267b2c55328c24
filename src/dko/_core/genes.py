"""Genes whose rank says little of how cells are regulated: of ribosomes, of mitochondria, and of few cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .fitted import NO_SIGNAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scipy import sparse


MITOCHONDRIAL, RIBOSOMAL, FEW = KINDS = ("mitochondrial", "ribosomal", "few cells")
# Columns of var that scanpy users make for its quality control, and the prefixes that they make them by; kinases of
# ribosomal proteins (RPS6KA1) are none.
_COLUMNS = {MITOCHONDRIAL: ("mt", r"^MT-"), RIBOSOMAL: ("ribo", r"^RP[SL](?!6K|19BP)")}
# Cells below which a mean over them is marked.
FEW_CELLS = 30


def gene_kinds(var: pd.DataFrame, n_cells: np.ndarray) -> dict[str, np.ndarray]:
    """Return a mask of the genes of each kind.

    Parameters
    ----------
    var
        Of the genes: a boolean column ``mt`` or ``ribo`` says which these are, otherwise their names do.
    n_cells
        Cells that express each gene.
    """
    names = pd.Series(var.index.astype(str))
    kinds = {}
    for kind, (column, prefix) in _COLUMNS.items():
        if column in var and pd.api.types.is_bool_dtype(var[column].dtype):
            kinds[kind] = var[column].to_numpy(dtype=bool, na_value=False)
        else:
            kinds[kind] = names.str.contains(prefix, case=False).to_numpy(dtype=bool)
    return {**kinds, FEW: n_cells < FEW_CELLS}


def marks(kinds: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the name of the first kind that each gene is of, empty for most."""
    return np.select(list(kinds.values()), list(kinds), "").astype(object)


def gene_means(
    impacts: Mapping[str, sparse.csr_array | sparse.csr_matrix],
    share: sparse.csr_array | sparse.csr_matrix,
    var: pd.DataFrame,
) -> pd.DataFrame:
    """Return what a scan and the observed profiles say of each gene: a row per gene, in their order.

    Parameters
    ----------
    impacts
        Impacts of the scan, cells x genes, by the name that their mean gets; all on one pattern.
    share
        Observed relative profiles of the same cells.
    var
        Of these genes.

    Returns
    -------
    ``gene``, the means, ``n_cells`` (scanned cells that express it), ``fraction`` (of all these cells that express it),
    ``expression_mean`` (mean share in scanned cells that express it), ``mark`` (:func:`dko.tl.rank_genes`).
    """
    n_genes, first = len(var), next(iter(impacts.values()))
    scanned = share[np.diff(first.indptr) > 0]
    n_cells = np.bincount(first.indices, minlength=n_genes)
    n_expressing = np.bincount(scanned.indices, minlength=n_genes)
    shares = np.bincount(scanned.indices, weights=scanned.data, minlength=n_genes)
    means = {
        name: np.bincount(values.indices, weights=values.data, minlength=n_genes) / np.maximum(n_cells, 1)
        for name, values in impacts.items()
    }
    return pd.DataFrame(
        {
            "gene": list(var.index),
            **means,
            "n_cells": n_cells,
            "fraction": np.bincount(share.indices, minlength=n_genes) / max(share.shape[0], 1),
            "expression_mean": shares / np.maximum(n_expressing, 1),
            "mark": marks(gene_kinds(var, n_cells)),
        }
    )


def in_order(table: pd.DataFrame, by: str, rate: str) -> pd.DataFrame:
    """Sort genes: those with evidence (`rate`, if it is known) first, and among these those of few cells last.

    Means of rare genes are large by chance, and where a type has few cells, each of its genes stands for all of it.
    """
    silent = table[rate] > NO_SIGNAL if rate in table else np.zeros(len(table), dtype=bool)
    few = table["n_cells"] < FEW_CELLS
    return table.iloc[np.lexsort([-table[by], few, silent])].reset_index(drop=True)
