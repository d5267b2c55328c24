"""Whether genes change in the predicted direction."""

from __future__ import annotations

import numpy as np

from .._verb import verb

# With fewer genes a share says nothing.
MIN_GENES = 5


@verb
def direction(predicted: np.ndarray, measured: np.ndarray, *, changed: np.ndarray, n_genes: int = 50) -> float:
    """Share of the genes that change most whose predicted change has the right sign, rising and falling ones apart.

    Where most of them fall, to say that all fall would be right for most. So the share is had among those that rise and
    among those that fall, and the mean of the two counts.

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
    0 to 1; 0.5 by chance, for no predicted change, and for one sign for all genes. NaN with fewer than 5 genes, and
    where all of them change in one direction.
    """
    known = np.flatnonzero(changed & np.isfinite(predicted) & np.isfinite(measured))
    if len(known) < MIN_GENES:
        return np.nan
    most = known[np.argsort(-np.abs(measured[known]), kind="stable")[:n_genes]]
    truth = np.sign(measured[most])
    agreement = (np.sign(predicted[most]) * truth + 1) / 2
    if not (truth > 0).any() or not (truth < 0).any():
        return np.nan
    return float((agreement[truth > 0].mean() + agreement[truth < 0].mean()) / 2)
