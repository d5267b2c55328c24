"""How well a fit predicts cells, beside what the means of the genes would give."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from .._core import keys
from .._core.cells import unwrap
from .._core.fitted import read_profiles
from .._core.groups import group_of_cells
from .._core.knockouts import open_model
from .._core.verb import verb
from ._profiles import profiles

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from .._compat import Matrix


@verb
def fit_quality(
    adata: AnnData | MuData,
    *,
    split: str | None = None,
    groupby: str | None = None,
    key: str = keys.DEFAULT,
    mod: str = "rna",
) -> pd.DataFrame:
    """Return how well a fit predicts profiles, beside a prediction from the mean of each gene in the training cells.

    Parameters
    ----------
    adata
        After :func:`dko.tl.fit`.
    split
        Cells to predict: ``"test"``, ``"validation"`` or ``"train"``; by default the test cells, or the validation
        cells, which have chosen the weights, where there are no test cells.
    groupby
        ``obs`` column, by default that of the fit, if any: also the mean of each gene in the cell's own group, which a
        model per group has to beat.
    %(fit)s

    Returns
    -------
    A row per prediction, ``model``, ``gene mean`` and, with groups, ``gene mean per {groupby}``; columns
    ``bray_curtis``, ``spearman``, ``spearman_within_gene``, float64, see :func:`dko.metrics.fit_quality`.
    ``attrs["split"]`` says which cells were predicted, ``attrs["n_cells"]`` how many.

    Raises
    ------
    KeyError
        No fit, no cells of this split, no training cells, or no such column.
    """
    from .. import metrics

    held_out, predictions = predict_all(unwrap(adata, mod), split, groupby, key)
    rows = {name: metrics.fit_quality(held_out.X, predicted) for name, predicted in predictions.items()}
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.attrs = {"split": held_out.uns["split"], "n_cells": held_out.n_obs}
    return table


def predict_all(adata: AnnData, split: str | None, groupby: str | None, key: str) -> tuple[AnnData, dict[str, Matrix]]:
    """Return the profiles of a split (``uns["split"]`` says of which) and, by name, all predictions of them."""
    from ..metrics import gene_mean

    fitted = open_model(adata, key, "", needs="reconstruct").fitted
    groupby = groupby or fitted.params.get("groupby")
    groups = None if groupby is None else group_of_cells(adata, groupby)
    splits = adata.obs.get(keys.split(key), pd.Series(index=adata.obs_names, dtype=object))
    if split is None:
        split = keys.TEST if (splits == keys.TEST).any() else keys.VALIDATION
    held_out = profiles(adata, split=split, key=key)
    held_out.uns["split"] = split
    is_training, is_held_out = (splits == keys.TRAIN).to_numpy(), (splits == split).to_numpy()
    if not is_training.any():
        raise KeyError(
            f"No {keys.TRAIN} cells in adata.obs[{keys.split(key)!r}], which the means of the genes come from; use "
            "the AnnData of the fit."
        )
    training = read_profiles(adata, fitted)[is_training]
    predictions = {"model": held_out.layers["predicted"], "gene mean": gene_mean(training, held_out.X)}
    if groups is not None:
        predictions[f"gene mean per {groupby}"] = gene_mean(
            training,
            held_out.X,
            training_groups=groups[is_training],
            groups=groups[is_held_out],
        )
    return held_out, predictions
