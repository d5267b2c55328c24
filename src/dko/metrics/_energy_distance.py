"""How far apart two sets of cells are."""

from __future__ import annotations

import numpy as np

from .._core.verb import verb
from ._two_samples import check_samples, mean_of_pairs


@verb
def energy_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Energy distance of two sets of cells: 2 E d(A, B) - E d(A, A') - E d(B, B'), unbiased.

    Parameters
    ----------
    a, b
        Cells x components, at least 2 cells each.

    Returns
    -------
    About 0 for two samples of one distribution, where it may be negative; in the units of the components.
    """
    from scipy.spatial.distance import cdist

    check_samples(a, b)
    return float(2 * cdist(a, b).mean() - mean_of_pairs(cdist(a, a)) - mean_of_pairs(cdist(b, b)))
