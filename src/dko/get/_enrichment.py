"""Sets of genes that knockouts change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import _keys
from .._data import unwrap
from .._verb import verb

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData


@verb
def enrichment(adata: AnnData | MuData, *, key: str = _keys.DEFAULT, mod: str = "rna") -> pd.DataFrame:
    """Return the sets of genes that knockouts change, of :func:`dko.tl.enrichment`, which says what the columns mean.

    Parameters
    ----------
    adata
        After :func:`dko.tl.enrichment`.
    key, mod
        Where the results are.

    Returns
    -------
    A row per ``knockout`` (, ``group``) and ``source``.

    Raises
    ------
    KeyError
        There are none.
    """
    target = unwrap(adata, mod)
    place = _keys.enrichment(key)
    if place not in target.uns:
        raise KeyError(f"No enrichment in adata.uns[{place!r}]; run dko.tl.enrichment(adata, net, key={key!r}) first.")
    return target.uns[place][_keys.TABLE].reset_index(drop=True)
