"""Genes whose rank says little of how cells are regulated: of ribosomes, of mitochondria, and of few cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Mapping

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
