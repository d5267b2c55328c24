"""The baseline that a model of profiles has to beat."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import sparse

from .._arrays import Matrix, dense


def gene_mean(
    training: Matrix,
    assemblages: Matrix,
    *,
    training_groups: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Predict profiles from each gene's mean alone: the genes that are present, at their mean when expressed.

    Parameters
    ----------
    training
        Profiles that the means are taken from, cells x genes, dense or sparse.
    assemblages
        Cells to predict, cells x genes; a gene is present where this is above 0.
    training_groups, groups
        The group of each training cell, and of each cell to predict: the means are then those of a cell's own group,
        which is the fair baseline for one model per group.

    Returns
    -------
    Profiles, float64, cells x genes; each row sums to 1. A gene that no training cell (of the group) expresses gets 0.
    """
    if training_groups is None or groups is None:
        return _from_means(training, assemblages)
    train, cells = sparse.csr_array(training), sparse.csr_array(assemblages)
    predicted = np.zeros(cells.shape)
    for group in pd.unique(groups):
        predicted[groups == group] = _from_means(train[training_groups == group], cells[groups == group])
    return predicted


def _from_means(training: Matrix, assemblages: Matrix) -> np.ndarray:
    train = sparse.csr_array(training)
    n_cells = np.bincount(train.indices[train.data > 0], minlength=train.shape[1])
    mean = np.asarray(train.sum(axis=0)).ravel() / np.maximum(n_cells, 1)
    predicted = (dense(assemblages) > 0) * mean
    total = predicted.sum(axis=1, keepdims=True)
    return np.divide(predicted, total, out=np.zeros_like(predicted), where=total > 0)
