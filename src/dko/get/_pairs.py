"""Double knockouts."""

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
def pairs(adata: AnnData | MuData, *, key: str = _keys.DEFAULT, mod: str = "rna") -> pd.DataFrame:
    """Return the double knockouts, a row per pair and cell.

    Parameters
    ----------
    adata
        After :func:`dko.tl.double_ko`.
    key, mod
        Where the fit is.

    Returns
    -------
    ``gene_a``, ``gene_b``, ``cell``, ``impact``, ``additive``, ``interaction``; see :func:`dko.tl.double_ko`.

    Raises
    ------
    KeyError
        There are none.
    """
    fitted = read_fitted(unwrap(adata, mod), key)
    if _keys.PAIRS not in fitted.tables:
        raise KeyError(f"No double knockouts in adata.uns[{key!r}]; run dko.tl.double_ko(adata, key={key!r}) first.")
    return fitted.table(_keys.PAIRS)
