"""Maximum mean discrepancy of two sets of cells."""

from __future__ import annotations

import numpy as np

from .._core.verb import verb
from ._two_samples import check_samples, mean_of_pairs


@verb
def mmd(a: np.ndarray, b: np.ndarray, *, bandwidth: float) -> float:
    """Squared maximum mean discrepancy of two sets of cells, unbiased (a U-statistic), with a Gaussian kernel.

    Parameters
    ----------
    a, b
        Cells x components, at least 2 cells each.
    bandwidth
        Standard deviation of the kernel, exp(-distance^2 / (2 bandwidth^2)); customarily the median distance between
        unperturbed cells.

    Returns
    -------
    About 0 for two samples of one distribution, where it may be negative; at most 2.

    Raises
    ------
    ValueError
        Fewer than 2 cells on a side, other components, a bandwidth that is not above 0.
    """
    from scipy.spatial.distance import cdist

    check_samples(a, b)
    if not bandwidth > 0:
        raise ValueError(f"bandwidth={bandwidth!r} must be above 0; the median distance between cells is usual.")

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.exp(-cdist(x, y, "sqeuclidean") / (2 * bandwidth**2))

    return float(mean_of_pairs(kernel(a, a)) + mean_of_pairs(kernel(b, b)) - 2 * kernel(a, b).mean())
