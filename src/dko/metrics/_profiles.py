"""Relative profiles: their logarithm, how far apart they are, how well predicted ones fit; distances of cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import pandas as pd
from scipy import sparse

from .._compat import Matrix, dense
from .._core.verb import verb
from ._agreement import spearman

Columns: TypeAlias = Sequence[int] | np.ndarray
# Profiles are taken to so many counts per cell before the logarithm.
SCALE = 1e4


@verb
def log_profiles(profiles: Matrix, *, without: Columns = ()) -> sparse.csr_array:
    """Take genes out of profiles, make these sum to 1 again, and return log1p(1e4 * profile).

    Parameters
    ----------
    profiles
        Cells x genes, dense or sparse, not negative: relative expression or counts.
    without
        Columns of genes to take out: knocked-out ones, on both sides of a comparison, as the room that they leave would
        decide the sign of every other change.

    Returns
    -------
    CSR float64, cells x genes, without entries for the genes that were taken out and for cells that have no other.

    Examples
    --------
    >>> counts = np.array([[1, 0, 3], [2, 2, 4]])
    >>> dko.metrics.log_profiles(counts, without=[2]).toarray().round(2)
    array([[9.21, 0.  , 0.  ],
           [8.52, 8.52, 0.  ]])
    """
    values = _csr(profiles)
    values.data[columns_mask(without, values.shape[1])[values.indices]] = 0
    values.eliminate_zeros()
    total = np.asarray(values.sum(axis=1)).ravel()
    values.data = np.log1p(SCALE * values.data / np.repeat(total, np.diff(values.indptr)))
    return values


@verb
def fit_quality(observed: Matrix, predicted: Matrix) -> dict[str, float]:
    """Compare predicted with observed profiles; compare that with :func:`dko.metrics.gene_mean`, which fits well too.

    Parameters
    ----------
    observed, predicted
        Profiles, cells x genes, dense or sparse.

    Returns
    -------
    ``bray_curtis`` (mean over cells), ``spearman`` (over all expressed entries) and ``spearman_within_gene``: per gene
    over the cells that express it, mean over genes that at least 3 cells express; what a gene's mean cannot know.

    Examples
    --------
    >>> observed = np.array([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5], [0.4, 0.0, 0.6], [0.3, 0.4, 0.3]])
    >>> predicted = dko.metrics.gene_mean(observed, observed)
    >>> quality = dko.metrics.fit_quality(observed, predicted)
    >>> {name: round(value, 2) for name, value in quality.items()}
    {'bray_curtis': 0.07, 'spearman': 0.86, 'spearman_within_gene': 0.89}
    """
    truth, guess = _csr(observed), _csr(predicted)
    truth.eliminate_zeros()
    distance = float(np.nanmean(bray_curtis(truth, guess)))
    # What indexing an array by pairs gives has changed between versions of SciPy; for a matrix it has not.
    guessed = np.asarray(sparse.csr_matrix(guess)[truth.nonzero()]).ravel()
    # The entries of each gene, one after the other.
    order = np.argsort(truth.indices, kind="stable")
    genes = np.split(order, np.cumsum(np.bincount(truth.indices))[:-1])
    of_genes = [spearman(truth.data[some], guessed[some]) for some in genes if len(some) >= 3]
    within = float(pd.Series(of_genes, dtype=float).mean())
    whole = spearman(truth.data, guessed)
    return {"bray_curtis": distance, "spearman": whole, "spearman_within_gene": within}


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
    training, assemblages
        Profiles that the means are taken from, and cells to predict, in which a gene is present where it is above 0:
        cells x genes, dense or sparse.
    training_groups, groups
        The group of each of these cells, for means by group. Cells without one (NaN, None) are a group too.

    Returns
    -------
    Profiles, CSR float64, cells x genes, an entry per present gene, rows sum to 1; 0 if no training cell has the gene.

    Examples
    --------
    >>> training = np.array([[0.6, 0.4, 0.0], [0.2, 0.4, 0.4]])
    >>> present = np.array([[1, 0, 1]])  # a cell with the first and the last gene
    >>> dko.metrics.gene_mean(training, present).toarray()
    array([[0.5, 0. , 0.5]])
    """
    if (training_groups is None) != (groups is None):
        raise ValueError("training_groups and groups belong together; give both or neither.")
    train, predicted = _csr(training), _csr(assemblages)
    for matrix in (train, predicted):
        matrix.data[~(matrix.data > 0)] = 0
        matrix.eliminate_zeros()
    if training_groups is None or groups is None:
        training_groups, groups = np.zeros(train.shape[0]), np.zeros(predicted.shape[0])
    both = pd.Series([*training_groups, *groups], dtype=object)
    number, names = pd.factorize(both, use_na_sentinel=False)
    of_training, of_entries = number[: train.shape[0]], number[train.shape[0] :][predicted.nonzero()[0]]
    for group in range(len(names)):
        entries = of_entries == group
        predicted.data[entries] = _means(train[of_training == group])[predicted.indices[entries]]
    total = np.repeat(predicted.sum(axis=1), np.diff(predicted.indptr))
    predicted.data = np.divide(predicted.data, total, out=np.zeros_like(total), where=total > 0)
    return predicted


def columns_mask(columns: Columns, n_genes: int) -> np.ndarray:
    """Return a mask of some columns."""
    mask = np.zeros(n_genes, dtype=bool)
    mask[np.asarray(columns, dtype=int)] = True
    return mask


def _csr(matrix: Matrix) -> sparse.csr_array:
    """Return a CSR copy in float64 whose indices are sorted and unique; nothing grows to cells x genes."""
    copy = sparse.csr_array(matrix, dtype=np.float64, copy=True)
    copy.sum_duplicates()
    return copy


def _means(training: sparse.csr_array) -> np.ndarray:
    """Return the mean of each gene over the cells that express it, 0 where none does."""
    n_genes = training.shape[1]
    n_cells = np.bincount(training.indices, minlength=n_genes)
    return np.bincount(training.indices, weights=training.data, minlength=n_genes) / np.maximum(n_cells, 1)


@verb
def bray_curtis(a: Matrix, b: Matrix) -> np.ndarray:
    """Bray-Curtis dissimilarity of each row of `a` and the same row of `b`.

    Parameters
    ----------
    a, b
        Non-negative, shape (cells, genes), dense or sparse.

    Returns
    -------
    Sum |a - b| / sum (a + b) per row, float64, shape (cells,), from 0 to 1; NaN where both rows are empty.

    Examples
    --------
    >>> before = np.array([[0.5, 0.3, 0.2]])
    >>> after = np.array([[0.0, 0.6, 0.4]])
    >>> dko.metrics.bray_curtis(before, after)
    array([0.5])
    """
    # Those of scipy take two vectors, or all pairs of dense rows. Sparse minus sparse stays sparse here.
    if sparse.issparse(a) and sparse.issparse(b):
        a, b = a.astype(np.float64, copy=False), b.astype(np.float64, copy=False)
    else:
        a, b = dense(a), dense(b)
    if a.shape != b.shape:
        raise ValueError(f"a and b must have the same shape, got {a.shape} and {b.shape}.")
    # Sums of sparse matrices are columns, those of arrays vectors.
    gap, total_a, total_b = (np.asarray(m.sum(axis=1)).ravel() for m in (abs(a - b), a, b))
    total = total_a + total_b
    return np.divide(gap, total, out=np.full(len(gap), np.nan), where=total > 0)


@verb
def energy_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Energy distance of two sets of cells: 2 E d(A, B) - E d(A, A') - E d(B, B'), unbiased.

    Parameters
    ----------
    %(samples)s

    Returns
    -------
    About 0 for two samples of one distribution, where it may be negative; in the units of the components.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> a, b = rng.normal(size=(200, 2)), rng.normal(loc=3.0, size=(200, 2))
    >>> round(dko.metrics.energy_distance(a, b), 1)
    5.5
    >>> abs(dko.metrics.energy_distance(a[:100], a[100:])) < 0.1  # of one distribution
    True
    """
    # That of scipy.stats is of one dimension, and biased.
    from scipy.spatial.distance import cdist, pdist

    _check_samples(a, b)
    return float(2 * cdist(a, b).mean() - pdist(a).mean() - pdist(b).mean())


@verb
def mmd(a: np.ndarray, b: np.ndarray, *, bandwidth: float) -> float:
    """Squared maximum mean discrepancy of two sets of cells, unbiased (a U-statistic), with a Gaussian kernel.

    Parameters
    ----------
    %(samples)s
    bandwidth
        Standard deviation of the kernel; customarily the median distance between unperturbed cells.

    Returns
    -------
    About 0 for two samples of one distribution, where it may be negative; at most 2.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> a, b = rng.normal(size=(200, 2)), rng.normal(loc=3.0, size=(200, 2))
    >>> round(dko.metrics.mmd(a, b, bandwidth=1.0), 1)
    0.6
    >>> abs(dko.metrics.mmd(a[:100], a[100:], bandwidth=1.0)) < 0.1  # of one distribution
    True
    """
    from scipy.spatial.distance import cdist, pdist

    _check_samples(a, b)
    squares = pdist(a, "sqeuclidean"), pdist(b, "sqeuclidean"), cdist(a, b, "sqeuclidean")
    within_a, within_b, between = (np.exp(-square / (2 * bandwidth**2)).mean() for square in squares)
    return float(within_a + within_b - 2 * between)


def _check_samples(a: np.ndarray, b: np.ndarray) -> None:
    if len(a) < 2 or len(b) < 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"Both sets need 2 cells or more, of the same components; got {a.shape} and {b.shape}.")
