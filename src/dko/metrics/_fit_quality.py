"""How well predicted profiles fit observed ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import sparse

from .._compat import Matrix
from .._core.verb import verb
from ._bray_curtis import bray_curtis
from ._csr import csr, rows_of


@verb
def fit_quality(observed: Matrix, predicted: Matrix) -> dict[str, float]:
    """Compare predicted with observed profiles.

    Absolute profiles correlate highly with anything that knows which genes are present and how high they are on
    average: read these numbers beside those of :func:`dko.metrics.gene_mean`.

    Parameters
    ----------
    observed, predicted
        Profiles, cells x genes, dense or sparse.

    Returns
    -------
    ``bray_curtis``
        Mean over cells.
    ``spearman``
        Over all expressed entries (observed above 0) of all cells.
    ``spearman_within_gene``
        The same per gene, over the cells that express it, averaged over genes that at least 3 cells express; what a
        gene's mean cannot know.
    """
    truth, guess = csr(observed), csr(predicted)
    truth.eliminate_zeros()
    distance = float(np.nanmean(bray_curtis(truth, guess)))
    guessed = _at_entries(guess, truth)
    within = _within_columns(truth, guessed)
    return {
        "bray_curtis": distance,
        "spearman": spearman(truth.data, guessed),
        "spearman_within_gene": float(np.mean(within)) if within else np.nan,
    }


def _within_columns(truth: sparse.csr_array, guessed: np.ndarray) -> list[float]:
    """Return the Spearman correlation over the entries of each column that has at least 3 and where it is defined."""
    order = np.argsort(truth.indices, kind="stable")
    columns = np.split(order, np.cumsum(np.bincount(truth.indices))[:-1])
    correlations = [spearman(truth.data[entries], guessed[entries]) for entries in columns if len(entries) >= 3]
    return [r for r in correlations if np.isfinite(r)]


def _at_entries(matrix: sparse.csr_array, pattern: sparse.csr_array) -> np.ndarray:
    """Return the values of a matrix at the entries of another."""
    if np.array_equal(matrix.indptr, pattern.indptr) and np.array_equal(matrix.indices, pattern.indices):
        return matrix.data
    # What indexing an array by pairs gives has changed between versions of SciPy; for a matrix it has not.
    return np.asarray(sparse.csr_matrix(matrix)[rows_of(pattern), pattern.indices]).ravel()


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman correlation; NaN where one side is constant."""
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return np.nan
    # scipy.stats would take half a second to import, and add a p-value that nobody asked for.
    return float(np.corrcoef(pd.Series(a).rank(), pd.Series(b).rank())[0, 1])
