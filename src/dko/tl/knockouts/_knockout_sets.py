"""The knockouts that a user has named, by label and by column of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ... import _keys
from ..._errors import require_genes
from ..._labels import gene_sets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from ..._labels import Knockouts


def knockout_sets(genes: Knockouts, fitted: Sequence[str], adata: AnnData) -> dict[str, list[str]]:
    """Return the genes of each knockout by its label; every gene is checked to be part of the fit."""
    sets = gene_sets(genes)
    require_genes(list(dict.fromkeys(gene for members in sets for gene in members)), fitted, adata)
    by_label: dict[str, list[str]] = {}
    for members in sets:
        label = _keys.label(members)
        if len(members) > 1 and label in adata.var_names:
            raise ValueError(f"The label of {tuple(members)} is also the name of a gene, {label!r}; rename that gene.")
        by_label[label] = members
    return by_label


def columns_of(sets: dict[str, list[str]], fitted: Sequence[str]) -> np.ndarray:
    """Return the model's columns of each knockout, shape (knockouts, most genes in one), padded with -1."""
    position = {gene: i for i, gene in enumerate(fitted)}
    columns = np.full((len(sets), max(map(len, sets.values()))), -1)
    for row, members in zip(columns, sets.values(), strict=True):
        row[: len(members)] = [position[gene] for gene in members]
    return columns
