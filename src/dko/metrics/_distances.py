"""How far apart profiles, or two sets of cells, are."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from .._compat import Matrix, dense
from .._core.verb import verb


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
    """
    from scipy.spatial.distance import cdist, pdist

    _check_samples(a, b)
    squares = pdist(a, "sqeuclidean"), pdist(b, "sqeuclidean"), cdist(a, b, "sqeuclidean")
    within_a, within_b, between = (np.exp(-square / (2 * bandwidth**2)).mean() for square in squares)
    return float(within_a + within_b - 2 * between)


def _check_samples(a: np.ndarray, b: np.ndarray) -> None:
    if len(a) < 2 or len(b) < 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"Both sets need 2 cells or more, of the same components; got {a.shape} and {b.shape}.")
