"""How far a predicted effect is from the measured one."""

from __future__ import annotations

import numpy as np

from .._verb import verb


@verb
def mse(predicted: np.ndarray, measured: np.ndarray) -> float:
    """Mean over genes of the squared difference of two effects.

    Parameters
    ----------
    predicted, measured
        Effects, shape (genes,); genes that are NaN in either are left out.

    Returns
    -------
    0 or more, in the squared units of the effects; NaN if no gene is known in both. The truth itself is at the mean
    sampling variance of the measurement.
    """
    squares = np.square(np.asarray(predicted, dtype=float) - measured)
    known = np.isfinite(squares)
    return float(squares[known].mean()) if known.any() else np.nan
