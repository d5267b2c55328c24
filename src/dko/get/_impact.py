"""Impacts of knockouts, cell by cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from .. import _keys
from .._compat import layer_names, stored
from .._data import require_unique, unwrap
from .._errors import unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mudata import MuData

    Entries = tuple[np.ndarray, np.ndarray]
    """Rows of cells, and their impacts."""


def impact(
    adata: AnnData | MuData,
    genes: str | Sequence[str] | None = None,
    *,
    tidy: bool = False,
    as_anndata: bool = False,
    key: str = _keys.DEFAULT,
    mod: str = "rna",
) -> pd.DataFrame | AnnData:
    """Return the impact of knockouts in each cell.

    Parameters
    ----------
    adata
        After :func:`dko.tl.virtual_ko` or :func:`dko.tl.scan`.
    genes
        Labels of knockouts, looked up among the named knockouts, then in the scan. Default: all that there are.
    tidy
        Return a row per cell and knockout that has an impact, instead of a column per knockout.
    as_anndata
        Return an AnnData, cells x knockouts, ready for scanpy (neighbors, leiden, rank_genes_groups): X is CSR
        float32 with no entry, so 0, where a cell does not express the gene; obs and embeddings are those of
        `adata`.
    key, mod
        Where the results are.

    Returns
    -------
    DataFrame, cells x knockouts, float32, NaN where a cell does not express the gene; or tidy with ``cell``,
    ``knockout``, ``impact``; or AnnData.

    Raises
    ------
    KeyError
        Nothing was knocked out, or not this gene.
    """
    target = unwrap(adata, mod)
    entries = _impacts(target, genes, key)
    if as_anndata:
        return _as_anndata(target, entries)
    table = _wide(entries, target.obs_names)
    if not tidy:
        return table
    require_unique(target.obs_names, "obs_names")
    cells, knockouts = np.nonzero(table.notna().to_numpy())
    return pd.DataFrame(
        {
            "cell": pd.Categorical.from_codes(cells, categories=table.index),
            "knockout": pd.Categorical.from_codes(knockouts, categories=table.columns),
            "impact": table.to_numpy()[cells, knockouts],
        }
    )


def _impacts(adata: AnnData, genes: str | Sequence[str] | None, key: str) -> dict[str, Entries]:
    """Return rows and values of each knockout: an entry wherever there is an impact, also one of 0."""
    frame = adata.obsm.get(_keys.impact(key))
    named = {} if frame is None else {_keys.unescape(column): column for column in frame.columns}
    layer = sparse.csc_array(adata.layers[_keys.impact(key)]) if _keys.impact(key) in layer_names(adata) else None
    scanned = [] if layer is None else adata.var_names[np.diff(layer.indptr) > 0]
    known = dict.fromkeys([*named, *scanned])
    if not known:
        raise KeyError(
            f"No knockouts under key {key!r}; run dko.tl.virtual_ko(adata, genes) or dko.tl.scan(adata) first."
        )
    wanted = list(known) if genes is None else [genes] if isinstance(genes, str) else [str(gene) for gene in genes]
    if missing := [gene for gene in wanted if gene not in known]:
        hint = unknown("knockout", missing, known, f"the results of key {key!r}")
        raise KeyError(f"{hint} Run dko.tl.virtual_ko(adata, ...) for it first.")
    return {gene: _named(frame[named[gene]]) if gene in named else _scanned(adata, layer, gene) for gene in wanted}


def _named(column: pd.Series) -> Entries:
    values = column.to_numpy(dtype=np.float32)
    rows = np.flatnonzero(~np.isnan(values))
    return rows, values[rows]


def _scanned(adata: AnnData, layer: sparse.csc_array, gene: str) -> Entries:
    at = adata.var_names.get_loc(gene)
    part = slice(layer.indptr[at], layer.indptr[at + 1])
    return layer.indices[part], layer.data[part]


def _wide(entries: dict[str, Entries], cells: pd.Index) -> pd.DataFrame:
    values = np.full((len(cells), len(entries)), np.nan, dtype=np.float32)
    for column, (rows, impacts) in enumerate(entries.values()):
        values[rows, column] = impacts
    return pd.DataFrame(values, index=cells, columns=list(entries))


def _as_anndata(adata: AnnData, entries: dict[str, Entries]) -> AnnData:
    indptr = np.cumsum([0, *(len(rows) for rows, _ in entries.values())])
    rows = np.concatenate([rows for rows, _ in entries.values()])
    values = np.concatenate([impacts for _, impacts in entries.values()])
    matrix = sparse.csc_array((values, rows, indptr), shape=(adata.n_obs, len(entries)))
    names = pd.DataFrame(index=pd.Index(list(entries), dtype=object))
    embeddings = {name: adata.obsm[name] for name in adata.obsm if isinstance(adata.obsm[name], np.ndarray)}
    return AnnData(stored(matrix), obs=adata.obs.copy(), var=names, obsm=embeddings)
