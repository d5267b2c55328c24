"""Results as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .. import _keys, get
from .._data import unwrap
from .._fitted import group_values, read_fitted
from ..metrics import fit_quality, gene_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from mudata import MuData


def quality_table(data: AnnData | MuData, *, key: str, mod: str = "rna", groupby: str | None = None) -> str:
    """How well held-out cells are predicted, beside the mean of each gene.

    With `groupby`, by default that of the fit, also beside the mean of each gene in the cell's own group.
    """
    adata = unwrap(data, mod)
    groupby = groupby or read_fitted(adata, key).params.get("groupby")
    cells = get.profiles(adata, key=key)
    split = cells.obs[_keys.split(key)].to_numpy()
    name = "test" if (split == "test").any() else "validation"
    train, held_out = np.flatnonzero(split == "train"), np.flatnonzero(split == name)
    observed = cells.X[held_out]
    predictions = {
        "model": cells.layers["predicted"][held_out],
        "gene mean": gene_mean(cells.X[train], observed),
    }
    if groupby is not None:
        groups = group_values(adata, groupby).to_numpy()
        predictions[f"gene mean per {groupby}"] = _mean_of_group(cells.X, groups, train, held_out)
    rows = {name: fit_quality(observed, predicted) for name, predicted in predictions.items()}
    table = pd.DataFrame.from_dict(rows, orient="index").rename(columns=_QUALITY)
    title = f"Prediction of the {len(held_out)} {name} cells (Bray-Curtis: 0 is best; Spearman: 1 is best)"
    return f"{title}\n{_text(table, index=True)}"
