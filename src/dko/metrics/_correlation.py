"""Agreement of a predicted with a measured effect."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .._core.verb import verb

# Values that differ by less than this fraction of the largest are rounding, not a direction.
_ROUNDING = 1e-12


@verb
def correlation(predicted: np.ndarray, measured: np.ndarray, *, method: str = "pearson") -> float:
    """Correlation over genes of two effects.

    Parameters
    ----------
    predicted, measured
        Shape (genes,); genes that are NaN in either are left out.
    method
        ``"pearson"`` or ``"spearman"``.

    Returns
    -------
    The correlation; 0 where one side is constant, as no change has no direction; NaN with fewer than 3 genes.

    Raises
    ------
    ValueError
        Another method.
    """
    if method not in ("pearson", "spearman"):
        raise ValueError(f"method={method!r} must be 'pearson' or 'spearman'.")
    a, b = np.asarray(predicted, dtype=float), np.asarray(measured, dtype=float)
    known = np.isfinite(a) & np.isfinite(b)
    a, b = a[known], b[known]
    if len(a) < 3:
        return np.nan
    if is_constant(a) or is_constant(b):
        return 0.0
    if method == "spearman":
        # scipy.stats would take half a second to import.
        a, b = pd.Series(a).rank().to_numpy(), pd.Series(b).rank().to_numpy()
    return float(np.corrcoef(a, b)[0, 1])


def is_constant(values: np.ndarray) -> bool:
    """Whether values are all the same, but for rounding; NaN does not count."""
    known = values[np.isfinite(values)]
    return not len(known) or bool(np.ptp(known) <= _ROUNDING * np.abs(known).max())
