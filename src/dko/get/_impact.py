"""Impacts of knockouts, cell by cell."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from .._compat import layer_names, stored
from .._core import keys
from .._core.cells import require_unique, unwrap
from .._core.messages import unknown
from .._core.names import labels_of
from .._core.verb import verb

if TYPE_CHECKING:
    from collections.abc import Callable

    from mudata import MuData

    from .._core.names import Knockouts

    Entries = tuple[np.ndarray, np.ndarray]
    """Rows of cells, and their impacts."""
    Reader = Callable[[], Entries]


@verb
def impact(
    adata: AnnData | MuData,
    genes: Knockouts | None = None,
    *,
    tidy: bool = False,
    as_anndata: bool = False,
    centred: bool = False,
    downstream: bool = False,
    key: str = keys.DEFAULT,
    mod: str = "rna",
) -> pd.DataFrame | AnnData:
    """Return the impact of knockouts in each cell.

    Parameters
    ----------
    adata
        After :func:`dko.tl.virtual_ko` or :func:`dko.tl.scan`.
    genes
        Knockouts: labels, or tuples of genes removed together. Each is looked up among the named knockouts (as it was
        last made, at whatever dose: see ``uns[key]["knockouts"]``), then in the scan. Default: all genes of the scan,
        and beside them the named knockouts that the scan does not have.
    tidy
        Return a row per cell and knockout that has an impact, instead of a column per knockout.
    as_anndata
        Return an AnnData, cells x knockouts, ready for scanpy (neighbors, leiden, rank_genes_groups): X is CSR
        float32 with no entry, so 0, where a cell does not express the gene; obs and the embeddings of two or
        three dimensions are those of `adata`. By default the genes of the scan alone, if there is one, so that all
        knockouts are of one kind.
    centred
        Take off, in each cell, its mean impact over the other knockouts that are returned: what is left is particular
        to the knockout. NaN where a cell has no other.
    downstream
        Return the downstream impacts instead, those on the other genes alone: the same of both profiles without the
        knocked-out genes, each made to sum to 1 again.
    %(results)s

    Returns
    -------
    DataFrame, cells x knockouts, float32, NaN where a cell does not express the gene; or tidy with ``cell``,
    ``knockout``, ``impact`` (or ``downstream``); or AnnData.

    Raises
    ------
    KeyError
        Nothing was knocked out, or not this gene; no downstream impacts, as of a scan with ``downstream=False``.
    """
    target = unwrap(adata, mod)
    place = (keys.downstream if downstream else keys.impact)(key)
    named, scanned = _named(target, place), _scanned(target, place)
    if not named and not scanned:
        what = "downstream impacts of knockouts" if downstream else "knockouts"
        raise KeyError(
            f"No {what} under key {key!r}; run dko.tl.virtual_ko(adata, genes, key={key!r}) "
            f"or dko.tl.scan(adata, key={key!r}) first."
        )
    if genes is not None:
        found = _chosen(genes, {**scanned, **named}, key)
    else:
        found = scanned if as_anndata and scanned else {**named, **scanned}
    entries = {label: read() for label, read in found.items()}
    if centred:
        entries = _centred(entries, target.n_obs)
    if as_anndata:
        return _as_anndata(target, entries)
    if tidy:
        return _tidy(target, entries, "downstream" if downstream else "impact")
    return _wide(entries, target.obs_names)


def _chosen(genes: Knockouts, known: dict[str, Reader], key: str) -> dict[str, Reader]:
    labels = [label if label in known else keys.label(label.split("+")) for label in labels_of(genes)]
    if missing := [label for label in labels if label not in known]:
        hint = unknown("knockout", missing, known, f"the results of key {key!r}")
        raise KeyError(f"{hint} Run dko.tl.virtual_ko(adata, ...) for it first.")
    return {label: known[label] for label in labels}


def _named(adata: AnnData, place: str) -> dict[str, Reader]:
    """Return how to read each knockout of ``virtual_ko``."""
    frame = adata.obsm.get(place)

    def read(column: str) -> Entries:
        values = frame[column].to_numpy(dtype=np.float32)
        rows = np.flatnonzero(~np.isnan(values))
        return rows, values[rows]

    columns = [] if frame is None else frame.columns
    return {keys.unescape(column): partial(read, column) for column in columns}


def _scanned(adata: AnnData, place: str) -> dict[str, Reader]:
    """Return how to read each gene of ``scan``; an entry of 0 is an impact too."""
    if place not in layer_names(adata):
        return {}
    layer = sparse.csc_array(adata.layers[place])

    def read(column: int) -> Entries:
        part = slice(layer.indptr[column], layer.indptr[column + 1])
        return layer.indices[part], layer.data[part]

    columns = np.flatnonzero(np.diff(layer.indptr))
    return {adata.var_names[column]: partial(read, int(column)) for column in columns}


def _centred(entries: dict[str, Entries], n_cells: int) -> dict[str, Entries]:
    rows = np.concatenate([rows for rows, _ in entries.values()])
    n_of = np.bincount(rows, minlength=n_cells)
    totals = np.bincount(rows, weights=np.concatenate([impacts for _, impacts in entries.values()]), minlength=n_cells)

    def particular(rows: np.ndarray, impacts: np.ndarray) -> np.ndarray:
        others = np.where(n_of[rows] > 1, n_of[rows] - 1.0, np.nan)
        return (impacts - (totals[rows] - impacts) / others).astype(np.float32)

    return {label: (rows, particular(rows, impacts)) for label, (rows, impacts) in entries.items()}


def _tidy(adata: AnnData, entries: dict[str, Entries], name: str) -> pd.DataFrame:
    require_unique(adata.obs_names, "obs_names")
    cells = np.concatenate([rows for rows, _ in entries.values()])
    knockouts = np.repeat(np.arange(len(entries)), [len(rows) for rows, _ in entries.values()])
    impacts = np.concatenate([impacts for _, impacts in entries.values()])
    order = np.lexsort([knockouts, cells])
    return pd.DataFrame(
        {
            "cell": pd.Categorical.from_codes(cells[order], categories=adata.obs_names),
            "knockout": pd.Categorical.from_codes(knockouts[order], categories=list(entries)),
            name: impacts[order],
        }
    )


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
    # For looking at, not for computing on: with a PCA of the expression, scanpy would find neighbours by that.
    arrays = {name: adata.obsm[name] for name in adata.obsm if isinstance(adata.obsm[name], np.ndarray)}
    embeddings = {name: array for name, array in arrays.items() if array.shape[1] <= 3}
    return AnnData(stored(matrix), obs=adata.obs.copy(), var=names, obsm=embeddings)
