"""Cells grouped by what they depend on: the knockouts that mark each group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core import keys
from .._core.cells import unwrap
from .._core.messages import listed
from .._core.results import CLUSTERS, read_entry, read_table
from .._core.verb import verb

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

_TABLES = {"markers": keys.MARKERS, "agreement": keys.AGREEMENT}


@verb
def clusters(
    adata: AnnData | MuData, *, what: str = "markers", key: str = keys.DEFAULT, mod: str = "rna"
) -> pd.DataFrame:
    """Return a table of :func:`dko.tl.cluster_impact`, which says what the columns mean.

    Parameters
    ----------
    adata
        After :func:`dko.tl.cluster_impact`.
    what
        ``"markers"``, the knockouts that each cluster depends on more than the others, or, where `groupby` was given,
        the ``"agreement"`` of clusters and groups.
    key
        What the names of the results begin with: the `key_added` of :func:`dko.tl.cluster_impact`.
    mod
        Modality of a MuData.

    Returns
    -------
    A row per ``cluster`` and ``knockout``, best first within each cluster; or the one row of the agreement. The
    clusters themselves are in ``obs[f"{key}_cluster"]``.

    Raises
    ------
    KeyError
        There are no clusters, or no groups to agree with.
    ValueError
        There is no such table.
    """
    target = unwrap(adata, mod)
    found = read_entry(target, CLUSTERS, key)
    if what not in _TABLES:
        raise ValueError(f"what={what!r} must be one of {listed(_TABLES)}.")
    if what == "agreement" and keys.AGREEMENT not in found:
        raise KeyError("No agreement: dko.tl.cluster_impact was given no groupby to compare clusters with.")
    return read_table(target, CLUSTERS, key, _TABLES[what])
