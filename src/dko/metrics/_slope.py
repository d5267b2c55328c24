"""How large predicted effects are, relative to measured ones."""

from __future__ import annotations

import numpy as np

from .._verb import verb
from ._correlation import is_constant


@verb
def slope(predicted: np.ndarray, measured: np.ndarray) -> float:
    """Slope of the regression over genes of a predicted effect on the measured one.

    Correlation does not see an effect that is predicted too small or too large; this does. The noise of the measurement
    lowers it: the truth itself has a slope of the reliability of the measurement, 2 r / (1 + r) of the agreement r of
    its halves.

    Parameters
    ----------
    predicted, measured
        Effects, shape (genes,); genes that are NaN in either are left out.

    Returns
    -------
    0 for no predicted change, below 1 for effects that are predicted too small; NaN with fewer than 3 genes, or where
    all genes change alike.
    """
    known = np.isfinite(predicted) & np.isfinite(measured)
    a, b = np.asarray(predicted, dtype=float)[known], np.asarray(measured, dtype=float)[known]
    if len(b) < 3 or is_constant(b):
        return np.nan
    deviation = b - b.mean()
    return float(deviation @ a / (deviation @ deviation))
