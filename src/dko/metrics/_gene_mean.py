"""The baseline that a model of profiles has to beat."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import sparse

from .._compat import Matrix
from .._core.verb import verb
from ._csr import csr, rows_of


@verb
def gene_mean(
    training: Matrix,
    assemblages: Matrix,
    *,
    training_groups: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> sparse.csr_array:
    """Predict profiles from each gene's mean alone: the genes that are present, at their mean when expressed.

    Parameters
    ----------
    training
        Profiles that the means are taken from, cells x genes, dense or sparse.
    assemblages
        Cells to predict, cells x genes, dense or sparse; a gene is present where this is above 0.
    training_groups, groups
        The group of each training cell, and of each cell to predict: the means are then those of a cell's own group,
        which is the fair baseline for one model per group. Cells without a group (NaN, None) make up one of their own.

    Returns
    -------
    Profiles, CSR float64, cells x genes, an entry per gene that is present; each row sums to 1. A gene that no training
    cell (of the group) expresses gets 0.

    Raises
    ------
    ValueError
        Only one of `training_groups` and `groups` is given.
    """
    if (training_groups is None) != (groups is None):
        raise ValueError("training_groups and groups go together; give both or neither.")
    train, predicted = csr(training), csr(assemblages)
    for matrix in (train, predicted):
        matrix.data[~(matrix.data > 0)] = 0
        matrix.eliminate_zeros()
    if training_groups is None or groups is None:
        predicted.data = _means(train)[predicted.indices]
    else:
        both = pd.Series([*training_groups, *groups], dtype=object)
        number, names = pd.factorize(both, use_na_sentinel=False)
        of_training, of_entries = number[: train.shape[0]], number[train.shape[0] :][rows_of(predicted)]
        for group in range(len(names)):
            entries = of_entries == group
            predicted.data[entries] = _means(train[of_training == group])[predicted.indices[entries]]
    total = np.repeat(predicted.sum(axis=1), np.diff(predicted.indptr))
    predicted.data = np.divide(predicted.data, total, out=np.zeros_like(total), where=total > 0)
    return predicted


def _means(training: sparse.csr_array) -> np.ndarray:
    """Return the mean of each gene over the cells that express it, 0 where none does."""
    n_genes = training.shape[1]
    n_cells = np.bincount(training.indices, minlength=n_genes)
    return np.bincount(training.indices, weights=training.data, minlength=n_genes) / np.maximum(n_cells, 1)
