"""Impacts of knockouts, cell by cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from .._compat import layer_names, stored
from .._core import keys
from .._core.cells import require_unique, unwrap
from .._core.names import known_labels
from .._core.verb import verb

if TYPE_CHECKING:
    from mudata import MuData

    from .._core.names import Knockouts


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
        last made, at whatever dose: see ``uns[key]["knockouts"]``), then in the scan. Default: all.
    tidy
        Return a row per cell and knockout that has an impact, instead of a column per knockout.
    as_anndata
        Return an AnnData, cells x knockouts, ready for scanpy: X is CSR float32 with no entry, so 0, where a cell does
        not express the gene; obs and embeddings of two or three dimensions are those of `adata`. By default the genes
        of the scan alone, if there is one, so that all are full knockouts.
    centred
        Subtract, in each cell, its mean impact over the other knockouts that are returned; NaN where it has no other.
    downstream
        Return the downstream impacts: those on the other genes alone, renormalised without the knocked-out genes.
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
    (named, of_named), (scanned, of_scanned) = _named(target, place), _scanned(target, place)
    if not named and not scanned:
        what = "downstream impacts of knockouts" if downstream else "knockouts"
        raise KeyError(
            f"No {what} under key {key!r}; run dko.tl.virtual_ko(adata, genes, key={key!r}) "
            f"or dko.tl.scan(adata, key={key!r}) first."
        )
    column = {label: number for number, label in enumerate([*named, *scanned])}
    if genes is not None:
        column |= {label: number for number, label in enumerate(named)}
        labels = known_labels(genes, column, f"the results of key {key!r}", "dko.tl.virtual_ko(adata, ...)")
    else:
        labels = scanned if as_anndata and scanned else list(column)
    values = sparse.hstack([of_named, of_scanned], format="csc")[:, [column[label] for label in labels]]
    if centred:
        values.data = _centred(values)
    if as_anndata:
        return _as_anndata(target, labels, values)
    if tidy:
        return _tidy(target, labels, values, "downstream" if downstream else "impact")
    dense = np.full(values.shape, np.nan, dtype=np.float32)
    entries = values.tocoo()
    dense[entries.row, entries.col] = entries.data
    return pd.DataFrame(dense, index=target.obs_names, columns=labels)


@verb
def impact_table(adata: AnnData | MuData, *, key: str = keys.DEFAULT, mod: str = "rna") -> pd.DataFrame:
    """Return the impacts of a scan as the reference lists them: the tidy table of :func:`impact` by other names.

    Parameters
    ----------
    adata
        After :func:`dko.tl.scan`.
    %(results)s

    Returns
    -------
    A row per gene and cell, cell by cell: ``gene_id`` and ``cell_id`` (categories: all names), ``impact`` (float32).

    %(absent)s
    """
    target = unwrap(adata, mod)
    if keys.impact(key) not in layer_names(target):
        raise KeyError(f"No scan in adata.layers[{keys.impact(key)!r}]; run dko.tl.scan(adata, key={key!r}) first.")
    table = _tidy(target, *_scanned(target, keys.impact(key)), "impact")
    genes = table["knockout"].cat.set_categories(target.var_names)
    return pd.DataFrame({"gene_id": genes, "cell_id": table["cell"], "impact": table["impact"]})


def _named(adata: AnnData, place: str) -> tuple[list[str], sparse.csc_array]:
    """Return the labels and impacts of ``virtual_ko``, cells x knockouts; an entry of 0 is an impact too."""
    frame = adata.obsm.get(place, pd.DataFrame(index=adata.obs_names))
    dense = frame.to_numpy(dtype=np.float32)
    columns, rows = np.nonzero(~np.isnan(dense.T))
    values = sparse.csc_array((dense[rows, columns], (rows, columns)), shape=dense.shape)
    return [keys.unescape(name) for name in frame.columns], values


def _scanned(adata: AnnData, place: str) -> tuple[list[str], sparse.csc_array]:
    """Return the genes and impacts of ``scan`` in the same way."""
    if place not in layer_names(adata):
        return [], sparse.csc_array((adata.n_obs, 0), dtype=np.float32)
    layer = sparse.csc_array(adata.layers[place])
    columns = np.flatnonzero(np.diff(layer.indptr))
    return list(adata.var_names[columns]), layer[:, columns]


def _centred(values: sparse.csc_array) -> np.ndarray:
    """Return the entries, each less the mean of the others of its cell."""
    rows, impacts = values.indices, values.data
    n_of, totals = np.bincount(rows), np.bincount(rows, weights=impacts)
    others = np.where(n_of[rows] > 1, n_of[rows] - 1.0, np.nan)
    return (impacts - (totals[rows] - impacts) / others).astype(np.float32)


def _tidy(adata: AnnData, labels: list[str], values: sparse.csc_array, name: str) -> pd.DataFrame:
    require_unique(adata.obs_names, "obs_names")
    by_cell = values.tocsr()
    cells = np.repeat(np.arange(by_cell.shape[0]), np.diff(by_cell.indptr))
    return pd.DataFrame(
        {
            "cell": pd.Categorical.from_codes(cells, categories=adata.obs_names),
            "knockout": pd.Categorical.from_codes(by_cell.indices, categories=labels),
            name: by_cell.data,
        }
    )


def _as_anndata(adata: AnnData, labels: list[str], values: sparse.csc_array) -> AnnData:
    # For looking at, not for computing on: with a PCA of the expression, scanpy would find neighbours by that.
    arrays = {name: adata.obsm[name] for name in adata.obsm if isinstance(adata.obsm[name], np.ndarray)}
    embeddings = {name: array for name, array in arrays.items() if array.shape[1] <= 3}
    names = pd.DataFrame(index=pd.Index(labels, dtype=object))
    return AnnData(stored(values), obs=adata.obs.copy(), var=names, obsm=embeddings)
