"""Sets of genes that knockouts change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import _keys
from .._data import unwrap
from .._results import ENRICHMENT, read_table
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
    return read_table(unwrap(adata, mod), ENRICHMENT, key)
