"""What a user may say for knockouts: a gene, a list of genes, tuples of genes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from .. import _keys
from .._errors import require_genes

if TYPE_CHECKING:
    import pandas as pd

Knockouts: TypeAlias = str | Sequence[str | Sequence[str]]


def knockout_sets(genes: Knockouts, fitted: Sequence[str], var_names: pd.Index) -> dict[str, list[str]]:
    """Return the genes of each knockout by its label; every gene is checked to be part of the fit.

    A tuple is a set of genes removed together, also when it is all that is given; a list holds knockouts.
    """
    items = [genes] if isinstance(genes, str | tuple) else list(genes)
    sets = [[item] if isinstance(item, str) else sorted({str(gene) for gene in item}) for item in items]
    if not sets or not all(sets):
        raise ValueError("genes names no gene; give a symbol, a list of symbols, or tuples of symbols.")
    require_genes(list(dict.fromkeys(gene for members in sets for gene in members)), fitted, var_names)
    return {_keys.label(members): members for members in sets}


def columns_of(sets: dict[str, list[str]], fitted: Sequence[str]) -> np.ndarray:
    """Return the model's columns of each knockout, shape (knockouts, most genes in one), padded with -1."""
    position = {gene: i for i, gene in enumerate(fitted)}
    columns = np.full((len(sets), max(map(len, sets.values()))), -1)
    for row, members in zip(columns, sets.values(), strict=True):
        row[: len(members)] = [position[gene] for gene in members]
    return columns
