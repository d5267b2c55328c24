"""Which pairs of genes, and in which cells of which groups."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from ..._core.groups import grouping
from ..._core.messages import require_genes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from ..._core.fitted import Fitted


def asked_pairs(genes: Sequence[str] | Sequence[tuple[str, str]], fitted: Fitted, adata: AnnData) -> np.ndarray:
    """Return the distinct pairs as columns of the model, pairs x 2, the genes of each and the pairs sorted by name."""
    items = [] if isinstance(genes, str) else list(genes)
    if bad := [item for item in items if not isinstance(item, str | tuple | list)]:
        raise TypeError(f"genes holds {bad[0]!r}; give names of genes, or pairs of names.")
    names = sorted({item for item in items if isinstance(item, str)})
    alone = all(isinstance(item, str) for item in items)
    if alone and len(names) < 2:
        raise ValueError(f"genes={genes!r} makes no pair; give a list of at least two genes, or of pairs of genes.")
    wrong = [item for item in items if isinstance(item, str) or len(item) != 2 or item[0] == item[1]]
    if wrong and not alone:
        raise ValueError(f"genes holds {wrong[0]!r}; give either genes alone, or pairs of two different genes.")
    pairs = list(combinations(names, 2)) if alone else sorted({(min(pair), max(pair)) for pair in items})
    require_genes(list(dict.fromkeys(gene for pair in pairs for gene in pair)), fitted.genes, adata)
    position = {gene: column for column, gene in enumerate(fitted.genes)}
    return np.array([[position[gene] for gene in pair] for pair in pairs])


def asked_groups(adata: AnnData, groupby: str | None, cells: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Return the names of the groups that have cells, and the number of the group of each cell, -1 for none."""
    if not cells.any():
        raise ValueError("None of the chosen cells has a model, so there is nothing to knock out.")
    names, group_of = grouping(adata, groupby, cells)
    if not names:
        raise ValueError(f"No chosen cell that has a model has a value in obs[{groupby!r}], so there are no groups.")
    return names, group_of
