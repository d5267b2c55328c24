"""The values that effects are measured in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._core.verb import verb
from ._csr import csr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scipy import sparse

    from .._compat import Matrix

# Profiles are taken to so many counts per cell before the logarithm.
SCALE = 1e4


@verb
def log_profiles(profiles: Matrix, *, without: Sequence[int] | np.ndarray = ()) -> sparse.csr_array:
    """Take genes out of profiles, make these sum to 1 again, and return log1p(1e4 * profile).

    Parameters
    ----------
    profiles
        Cells x genes, dense or sparse, not negative: relative expression or counts.
    without
        Columns of genes to take out; a knocked-out gene has to be, on both sides of a comparison, or the room that it
        leaves in the profile decides the sign of every other change.

    Returns
    -------
    CSR float64, cells x genes, without entries for the genes that were taken out and for cells that have no other.
    """
    values = csr(profiles)
    values.data[columns_mask(without, values.shape[1])[values.indices]] = 0
    values.eliminate_zeros()
    total = np.asarray(values.sum(axis=1)).ravel()
    values.data = np.log1p(SCALE * values.data / np.repeat(total, np.diff(values.indptr)))
    return values


def columns_mask(columns: Sequence[int] | np.ndarray, n_genes: int) -> np.ndarray:
    """Return a mask of some columns."""
    mask = np.zeros(n_genes, dtype=bool)
    mask[np.asarray(columns, dtype=int)] = True
    return mask
