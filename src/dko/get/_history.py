"""Loss history of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import _keys
from .._data import unwrap
from .._fitted import read_fitted
from .._verb import verb

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData


@verb
def history(adata: AnnData | MuData, *, key: str = _keys.DEFAULT, mod: str = "rna") -> pd.DataFrame:
    """Return the losses of a fit.

    Parameters
    ----------
    adata
        After :func:`dko.tl.fit`.
    key, mod
        Where the fit is.

    Returns
    -------
    A row per validation: ``step``, ``epoch``, ``train_loss`` (mean over the steps since the last validation;
    Bray-Curtis, or of an SCCVAE the sum of its terms), ``validation_loss``; with ``groupby`` also ``group``, and of
    several members ``member``.
    """
    return read_fitted(unwrap(adata, mod), key).table(_keys.HISTORY)
