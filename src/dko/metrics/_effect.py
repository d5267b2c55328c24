"""What a knockout has done, as measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._core.verb import verb
from ._log_profiles import columns_mask, log_profiles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scipy import sparse

    from .._compat import Matrix


@verb
def effect(perturbed: Matrix, control: Matrix, *, without: Sequence[int] | np.ndarray = ()) -> np.ndarray:
    """Change of the mean of log1p(1e4 * profile), gene by gene, perturbed minus unperturbed cells.

    Parameters
    ----------
    perturbed, control
        Profiles or counts, cells x genes, dense or sparse.
    without
        Columns of the perturbed genes, which are taken out of both sides first; see :func:`dko.metrics.log_profiles`.

    Returns
    -------
    float64, shape (genes,); NaN at the genes that were taken out.

    Raises
    ------
    ValueError
        No cells on one side, or other genes.
    """
    if not perturbed.shape[0] or not control.shape[0] or perturbed.shape[1] != control.shape[1]:
        raise ValueError(f"Both sides need cells, of the same genes; got {perturbed.shape} and {control.shape}.")
    change = difference(log_profiles(perturbed, without=without), log_profiles(control, without=without))
    change[columns_mask(without, len(change))] = np.nan
    return change


def difference(perturbed: sparse.csr_array, control: sparse.csr_array) -> np.ndarray:
    """Return the difference of the means of values (genes,)."""
    return np.asarray(perturbed.mean(axis=0)).ravel() - np.asarray(control.mean(axis=0)).ravel()
