"""Whether genes change in the predicted direction."""

from __future__ import annotations

import numpy as np

# With fewer genes a share says nothing.
MIN_GENES = 5


def direction(predicted: np.ndarray, measured: np.ndarray, *, changed: np.ndarray, n_genes: int = 50) -> float:
    """Share of the genes that change most whose predicted change has the right sign.

    Parameters
    ----------
    predicted, measured
        Effects, shape (genes,); NaN for genes that do not count.
    changed
        Genes that change significantly, as a mask; see :func:`dko.metrics.changed_genes`. Only they count.
    n_genes
        How many of them, by the size of the measured change.

    Returns
    -------
    0 to 1, by chance 0.5, which is also what no predicted change gets; NaN with fewer than 5 genes.
    """
    known = np.flatnonzero(changed & np.isfinite(predicted) & np.isfinite(measured))
    if len(known) < MIN_GENES:
        return np.nan
    most = known[np.argsort(-np.abs(measured[known]), kind="stable")[:n_genes]]
    agreement = np.sign(predicted[most]) * np.sign(measured[most])
    return float((agreement + 1).mean() / 2)
