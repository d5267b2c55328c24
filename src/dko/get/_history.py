"""Loss history of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core import keys
from .._core.cells import unwrap
from .._core.fitted import read_fitted
from .._core.verb import verb

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData


@verb
def history(adata: AnnData | MuData, *, key: str = keys.DEFAULT, mod: str = "rna") -> pd.DataFrame:
    """Return the losses of a fit.

    Parameters
    ----------
    adata
        After :func:`dko.tl.fit`.
    %(fit)s

    Returns
    -------
    A row per validation: ``step``, ``epoch``, ``train_loss`` (mean over the steps since the last validation;
    Bray-Curtis, or of an SCCVAE the sum of its terms), ``validation_loss``; with ``groupby`` also ``group``, and of
    several members ``member``.
    """
    return read_fitted(unwrap(adata, mod), key).table(keys.HISTORY)
