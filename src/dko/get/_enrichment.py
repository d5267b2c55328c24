"""Sets of genes that knockouts change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core import keys
from .._core.cells import unwrap
from .._core.results import ENRICHMENT, read_table
from .._core.verb import verb

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData


@verb
def enrichment(adata: AnnData | MuData, *, key: str = keys.DEFAULT, mod: str = "rna") -> pd.DataFrame:
    """Return the sets of genes that knockouts change, of :func:`dko.tl.enrichment`, which says what the columns mean.

    Parameters
    ----------
    adata
        After :func:`dko.tl.enrichment`.
    %(results)s

    Returns
    -------
    A row per ``knockout`` (, ``group``) and ``source``.

    Raises
    ------
    KeyError
        There are none.
    """
    return read_table(unwrap(adata, mod), ENRICHMENT, key)
