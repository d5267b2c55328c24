"""Double knockouts."""

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
def pairs(adata: AnnData | MuData, *, key: str = keys.DEFAULT, mod: str = "rna") -> pd.DataFrame:
    """Return the double knockouts, a row per pair and cell.

    Parameters
    ----------
    adata
        After :func:`dko.tl.double_ko`.
    %(fit)s

    Returns
    -------
    ``gene_a``, ``gene_b``, ``cell``, ``impact``, ``additive``, ``interaction``; see :func:`dko.tl.double_ko`.

    Raises
    ------
    KeyError
        There are none.
    """
    fitted = read_fitted(unwrap(adata, mod), key)
    if keys.PAIRS not in fitted.tables:
        raise KeyError(f"No double knockouts in adata.uns[{key!r}]; run dko.tl.double_ko(adata, key={key!r}) first.")
    return fitted.table(keys.PAIRS)
