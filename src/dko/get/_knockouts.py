"""What knockouts do: impacts, cell by cell, keystone genes, which have the largest, and effects, gene by gene."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from .._compat import layer_names, stored
from .._core import keys
from .._core.cells import chosen_rows, require_unique, row_blocks, unwrap
from .._core.fitted import gene_columns, read_fitted
from .._core.genes import gene_means, in_order
from .._core.groups import grouping
from .._core.knockouts import open_model
from .._core.names import Knockouts, known_labels, labels_of
from .._core.results import is_ranking, ranking_at, read_params, read_table
from .._core.scans import read_scan
from .._core.verb import verb


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
        Labels, or tuples of genes removed together, looked up among the named knockouts (as last made, at whatever
        dose: see ``uns[key]["knockouts"]``), then in the scan. Default: all.
    tidy
        Return a row per cell and knockout that has an impact, instead of a column per knockout.
    as_anndata
        Return an AnnData, cells x knockouts, for scanpy: X is CSR float32 with no entry, so 0, where a cell does not
        express the gene; obs and embeddings are those of `adata`. By default the genes of the scan alone, if there is
        one.
    centred
        Subtract, in each cell, its mean impact over the other knockouts that are returned; NaN where it has no other.
    downstream
        Return the downstream impacts: those on the other genes alone, renormalised without the knocked-out genes.
    %(results)s

    Returns
    -------
    DataFrame, cells x knockouts, float32, NaN where a cell does not express the gene; or tidy with ``cell``,
    ``knockout``, ``impact`` (or ``downstream``); or AnnData.

    %(absent)s

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.tl.virtual_ko(adata, ["CD74", "NKG7"])
    >>> dko.get.impact(adata).shape
    (700, 2)
    >>> dko.get.impact(adata, downstream=True, tidy=True).columns.tolist()
    ['cell', 'knockout', 'downstream']
    >>> dko.get.impact(adata, as_anndata=True).var_names.tolist()
    ['CD74', 'NKG7']
    """
    target = unwrap(adata, mod)
    place, what = (keys.downstream, "downstream impacts of knockouts") if downstream else (keys.impact, "knockouts")
    named, of_named = _named(target, place(key))
    unnamed = set() if genes is None else set(labels_of(genes)) - set(named)
    scanned, of_scanned = _scanned(target, place(key), unnamed)
    if not named and not scanned:
        remedy = f"run dko.tl.virtual_ko(adata, genes, key={key!r}) or dko.tl.scan(adata, key={key!r}) first."
        raise KeyError(f"No {what} under key {key!r}; {remedy}")
    column = {label: number for number, label in enumerate([*named, *scanned])}
    if genes is not None:
        column |= {label: number for number, label in enumerate(named)}
        labels = known_labels(genes, column, f"the results of key {key!r}", "dko.tl.virtual_ko(adata, ...)")
    else:
        labels = scanned if as_anndata and scanned else list(column)
    values = sparse.hstack([of_named, of_scanned], format="csc")[:, [column[label] for label in labels]]
    if centred:
        rows, impacts = values.indices, values.data
        n_of, totals = np.bincount(rows), np.bincount(rows, weights=impacts)
        others = np.where(n_of[rows] > 1, n_of[rows] - 1.0, np.nan)
        values.data = (impacts - (totals[rows] - impacts) / others).astype(np.float32)
    if as_anndata:
        # For looking at, not for computing on: with a PCA of the expression, scanpy would find neighbours by that.
        arrays = {name: target.obsm[name] for name in target.obsm if isinstance(target.obsm[name], np.ndarray)}
        embeddings = {name: array for name, array in arrays.items() if array.shape[1] <= 3}
        var = pd.DataFrame(index=pd.Index(labels, dtype=object))
        return AnnData(stored(values), obs=target.obs.copy(), var=var, obsm=embeddings)
    if tidy:
        return _tidy(target, labels, values, "downstream" if downstream else "impact")
    dense = np.full(values.shape, np.nan, dtype=np.float32)
    entries = values.tocoo()
    dense[entries.row, entries.col] = entries.data
    return pd.DataFrame(dense, index=target.obs_names, columns=labels)


@verb
def impact_table(adata: AnnData | MuData, *, key: str = keys.DEFAULT, mod: str = "rna") -> pd.DataFrame:
    """Return the impacts of a scan as the reference lists them: those of :func:`dko.get.impact` by other names.

    Parameters
    ----------
    adata
        After :func:`dko.tl.scan`.
    %(results)s

    Returns
    -------
    A row per gene and cell, cell by cell: ``gene_id`` and ``cell_id`` (categories: all names), ``impact`` (float32).

    %(absent)s

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.tl.scan(adata)
    >>> dko.get.impact_table(adata).columns.tolist()
    ['gene_id', 'cell_id', 'impact']
    """
    target = _with_scan(unwrap(adata, mod), key)
    table = _tidy(target, *_scanned(target, keys.impact(key)), "impact")
    genes = table["knockout"].cat.set_categories(target.var_names)
    return pd.DataFrame({"gene_id": genes, "cell_id": table["cell"], "impact": table["impact"]})


def _with_scan(adata: AnnData, key: str) -> AnnData:
    if keys.impact(key) not in layer_names(adata):
        raise KeyError(f"No scan in adata.layers[{keys.impact(key)!r}]; run dko.tl.scan(adata, key={key!r}) first.")
    return adata


def _named(adata: AnnData, place: str) -> tuple[list[str], sparse.csc_array]:
    """Return the labels and impacts of ``virtual_ko``, cells x knockouts; an entry of 0 is an impact too."""
    frame = adata.obsm.get(place, pd.DataFrame(index=adata.obs_names))
    dense = frame.to_numpy(dtype=np.float32)
    columns, rows = np.nonzero(~np.isnan(dense.T))
    values = sparse.csc_array((dense[rows, columns], (rows, columns)), shape=dense.shape)
    return [keys.unescape(name) for name in frame.columns], values


def _scanned(adata: AnnData, place: str, genes: Collection[str] = ()) -> tuple[list[str], sparse.csc_array]:
    """Return the genes and impacts of ``scan`` in the same way; those of `genes` alone, if it has all of these."""
    if place not in layer_names(adata):
        return [], sparse.csc_array((adata.n_obs, 0), dtype=np.float32)
    wanted = np.flatnonzero(adata.var_names.isin(genes)) if genes else np.arange(adata.n_vars)
    blocks = ((rows.start, block[:, wanted]) for rows, block in row_blocks(adata.layers[place]))
    layer = sparse.csc_array(chosen_rows(blocks))
    columns = np.flatnonzero(np.diff(layer.indptr))
    if genes and len(columns) < len(genes):  # a name that is not there is compared with all that are
        return _scanned(adata, place)
    return list(adata.var_names[wanted[columns]]), layer[:, columns]


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


@verb
def ranking(
    adata: AnnData | MuData,
    *,
    groupby: str | None = None,
    min_cells: int | None = None,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    key_added: str | None = None,
) -> pd.DataFrame:
    """Rank genes by their mean downstream impact over the cells that express them, overall or per group.

    Parameters
    ----------
    adata
        After :func:`dko.tl.scan`, or :func:`dko.tl.rank_genes`.
    %(groupby)s
    min_cells
        Leave out genes that fewer scanned cells (of the group) express. By default as ranked, 10 where nothing was.
    %(results)s
    %(ranking)s

    Returns
    -------
    After :func:`dko.tl.rank_genes` for the same groups its table, with intervals and p-values. Otherwise a row per gene
    (and ``group``), best first: ``gene``, ``downstream_mean``, ``impact_mean``, ``n_cells`` (scanned cells that express
    it), ``fraction`` (of all cells, or of the group), ``expression_mean`` (mean share of the observed profile, over the
    genes of the model, in these cells), ``mark`` as in :func:`dko.tl.rank_genes`; with total effects also ``signal``,
    ``var[f"{key}_signal"]`` of the fit: genes with at most 0.05 come first. A scan without downstream impacts is ranked
    by ``impact_mean``, which grows with expression.

    %(absent)s

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.tl.scan(adata)
    >>> ranking = dko.get.ranking(adata, groupby="cell_type")
    >>> ranking.columns.tolist()[:4]
    ['group', 'gene', 'downstream_mean', 'impact_mean']
    >>> ranking.loc[ranking["group"] == "CD56+ NK", "gene"].head(3).tolist()
    ['CST7', 'CTSW', 'GNLY']
    """
    target = _with_scan(unwrap(adata, mod), key)
    ranked = _ranked(target, key, key_added, groupby)
    if ranked is not None:
        return ranked[ranked["n_cells"] >= (min_cells or 0)].reset_index(drop=True)
    fitted = read_fitted(target, key)
    columns = gene_columns(target, fitted)
    places = {"downstream_mean": keys.downstream(key), "impact_mean": keys.impact(key)}
    places = {name: place for name, place in places.items() if place in layer_names(target)}
    groupby = groupby or fitted.params.get("groupby")
    groups, group_of = grouping(target, groupby)
    part_of = np.where(group_of < 0, len(groups), group_of)
    sums = read_scan(target, fitted, places, part_of, np.ones(target.n_obs, dtype=bool)).sums
    tables = {}
    for number, group in enumerate(groups):
        table = gene_means(sums.over(np.array([number])), target.var.iloc[columns])
        if fitted.signal is not None:
            table["signal"] = fitted.signal
        tables[group] = in_order(table[table["n_cells"] >= (min_cells or 10)], next(iter(places)), "signal")
    table = pd.concat(tables, names=["group"]).reset_index(level="group").reset_index(drop=True)
    return table.drop(columns="group") if groupby is None else table.astype({"group": "category"})


def _ranked(adata: AnnData, key: str, key_added: str | None, groupby: str | None) -> pd.DataFrame | None:
    """Return a copy of the table of ``tl.rank_genes``, if there is one of these groups."""
    place = keys.ranking(key) if key_added is None else key_added
    if not is_ranking(adata.uns.get(place)):
        if key_added is None:
            return None
        raise KeyError(f"No ranking in adata.uns[{place!r}]; run dko.tl.rank_genes(adata, key_added={place!r}) first.")
    table = read_table(adata, ranking_at(place), key)
    column = read_params(adata, ranking_at(place), key)["groupby"] if "group" in table else None
    if groupby is None or groupby == column:
        return table
    if key_added is None:
        return None
    cells = "all cells" if column is None else f"groups of obs[{column!r}]"
    raise KeyError(f"The ranking in adata.uns[{place!r}] is of {cells}, not of groups of obs[{groupby!r}].")


@verb
def effects(
    adata: AnnData | MuData,
    genes: Knockouts | None = None,
    *,
    groupby: str | None = None,
    centred: bool = False,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    device: str = "auto",
    progress: bool = True,
) -> AnnData:
    """Return the mean change of every gene after each knockout, as an AnnData for scanpy.

    The change is that of log1p(1e4 * profile), after minus before, with the knocked-out genes taken out of both and
    both renormalised: otherwise the gap that they leave would decide the sign of everything. With total effects the
    profile before is the observed one, with direct effects the predicted one. Of an SCCVAE it is the change of the
    log-normalised expression of the control cells, predicted less observed, on the scale of its input; nothing is
    renormalised, perturbed genes are left in, and a gene loses at most its mean.

    Parameters
    ----------
    adata
        After :func:`dko.tl.fit`.
    genes
        Knockouts, as in :func:`dko.tl.virtual_ko`; by default every gene alone, of an SCCVAE those it was trained on.
    groupby
        ``obs`` column: an effect per knockout and group. Default: one per knockout, over all cells.
    centred
        Take off the mean effect of the other knockouts that are returned (of the same group), at least one: what is
        left is particular to the knockout. All genes are the fairest mean.
    %(fit)s
    %(compute)s
    %(progress)s

    Returns
    -------
    AnnData, knockouts (x groups) x genes of the model: X float32, the mean over the cells that express any of the
    knocked-out genes; 0 for these genes themselves, and in each cell for genes that it lacks. ``obs`` has ``knockout``,
    ``n_cells`` and, with `groupby`, ``group``. There is no row for a knockout that no cell (of a group) expresses.

    %(errors)s
        `centred` with a single knockout; no cell in any group.

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> effects = dko.get.effects(adata, ["CD74", "NKG7"])
    >>> effects.shape
    (2, 765)
    >>> effects.to_df().loc["CD74"].nsmallest(3).index.tolist()  # fall most
    ['HLA-DRA', 'HLA-DRB1', 'HLA-DPB1']
    """
    cells = open_model(adata, key, mod, device=device)
    every = cells.trained or {gene: [gene] for gene in cells.model.targets}
    sets = every if genes is None else cells.sets(genes)
    groups, group_of = grouping(cells.adata, groupby)
    if not (group_of[cells.rows] >= 0).any():
        raise ValueError(f"No cell in which knockouts are predicted has a value in obs[{groupby!r}].")
    total, n_cells = cells.effect_sums(list(sets.values()), group_of, len(groups))
    group, knockout = np.nonzero(n_cells)
    obs = pd.DataFrame({"knockout": np.array(list(sets), dtype=object)[knockout], "n_cells": n_cells[group, knockout]})
    obs.index = obs["knockout"].to_list()
    if groupby is not None:
        obs["group"] = pd.Categorical.from_codes(group, categories=groups)
        obs.index = [f"{name} ({groups[g]})" for name, g in zip(obs["knockout"], group, strict=True)]
    change = total[group, knockout] / n_cells[group, knockout][:, None]
    if centred:
        of_group = pd.DataFrame(change).groupby(group)
        n_others = of_group[0].transform("size").to_numpy()[:, None] - 1
        if not n_others.all():
            raise ValueError("Effects are centred against those of other knockouts; name at least two genes, or none.")
        change -= (of_group.transform("sum").to_numpy() - change) / n_others
    var = cells.adata.var.loc[cells.model.genes, []].copy()
    return AnnData(change.astype(np.float32), obs=obs, var=var)
