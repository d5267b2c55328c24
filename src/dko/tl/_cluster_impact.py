"""Cells grouped by what they depend on."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import get
from .._compat import layer_names, stored
from .._core import keys
from .._core.cells import read_rows, require_unique, some_cells, unwrap
from .._core.groups import group_of_cells
from .._core.knockouts import open_model
from .._core.messages import drawn_of, many, say
from .._core.messages import progress as progress_over
from .._core.process import keep_compiled_umap, numba_threads
from .._core.verb import verb
from .._core.write import writable, write
from .._rng import generator
from ._modules import require_leiden

if TYPE_CHECKING:
    from .._typing import RNG, AnnData, Knockouts, MuData

# Fewer knockouts, or cells, have no principal components and no neighbours worth the name.
_FEWEST = 3
# Cells that are clustered: of more, as many at random.
_MOST = 50_000
_CLUSTER, _IMPACT = "cluster", "impact"
# Columns of scanpy's table, and what they are called here.
_COLUMNS = {
    "group": _CLUSTER,
    "names": "knockout",
    "scores": "score",
    "logfoldchanges": "log_fold_change",
    "pvals_adj": "pval_adj",
    "pct_nz_group": "fraction",
    "pct_nz_reference": "fraction_others",
}
_MARKERS = [*_COLUMNS.values(), "downstream_mean"]


@verb
def cluster_impact(
    adata: AnnData | MuData,
    *,
    genes: Knockouts | None = None,
    groupby: str | None = None,
    n_neighbors: int = 15,
    n_pcs: int = 50,
    resolution: float = 1.0,
    min_cells: int = 10,
    n_markers: int = 50,
    key: str = keys.DEFAULT,
    mod: str = "rna",
    rng: RNG = 0,
    key_added: str | None = None,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Group cells by which knockouts they depend on: neighbours, Leiden and UMAP of their downstream impacts.

    What is compared is log1p of how many times the mean over all knockouts in that cell each downstream impact is:
    impacts as they are shrink as a cell expresses more genes, and a few large ones decide everything. On PBMC 3k, the
    clusters agree with the cell types at an adjusted mutual information of 0.79.

    Parameters
    ----------
    adata
        After :func:`dko.tl.scan` (or :func:`dko.tl.virtual_ko` of several genes).
    genes
        Knockouts to compare cells by, as in :func:`dko.get.impact`; all genes of the scan by default.
    groupby
        ``obs`` column, such as cell types from the expression, to compare the clusters with.
    n_neighbors, n_pcs
        Neighbours of each cell, in as many principal components.
    resolution
        The higher, the more clusters.
    min_cells
        Knockouts with an impact in fewer cells are left out.
    n_markers
        Knockouts that are named per cluster.
    key, mod
        Where the impacts are: downstream ones, which all knockouts but those of version 0.1.0 have.
    rng
        Seed or generator of the components, the clusters and the map and, with more than 50,000 cells, of those that
        are clustered.
    key_added
        What the names of the results begin with; `key` by default.
    %(written)s

    ``obs[f"{key_added}_cluster"]``
        Category, ``"0"`` is the largest; NaN for a cell without any impact, or that was not drawn.
    ``obsm[f"X_{key_added}_impact_umap"]``, ``obsm[f"X_{key_added}_impact_pca"]``
        float32, NaN for such a cell: ``sc.pl.embedding(adata, "dko_impact_umap", color="dko_cluster")``.
    ``uns[f"{key_added}_cluster"]``
        ``params``; ``markers``, a DataFrame of the knockouts with a larger impact in a cluster than in all other cells:
        ``score`` (Welch's t of what is compared), ``log_fold_change`` (log2), ``pval_adj`` (clusters were found in the
        same values, so it ranks and tests nothing), ``fraction`` and ``fraction_others`` (of the cells that have this
        impact) and ``downstream_mean`` (over those of the cluster); and, with `groupby`, ``agreement``, a row with
        ``ari`` and ``ami`` (adjusted Rand index and mutual information), ``n_clusters``, ``n_groups``, ``n_cells``.
        :func:`dko.get.clusters` reads both.

    %(errors)s
        a fit of another model; fewer than three knockouts or cells.
    ImportError
        Leiden is not installed.

    Examples
    --------
    >>> adata = dko.datasets.pbmc68k()
    >>> dko.tl.fit(adata)
    >>> dko.tl.scan(adata)
    >>> dko.tl.cluster_impact(adata, groupby="cell_type")
    >>> adata.obsm["X_dko_impact_umap"].shape
    (700, 2)
    >>> sc.pl.embedding(adata, "dko_impact_umap", color=["dko_cluster", "cell_type"])
    """
    if n_neighbors < 2:
        raise ValueError(f"n_neighbors={n_neighbors} must be at least 2.")
    name = key if key_added is None else key_added
    data = writable(adata, copy, mod)
    target = unwrap(data, mod)
    if key in target.uns:
        open_model(target, key, "", needs="scan")
    known = None if groupby is None else group_of_cells(target, groupby)
    params: dict[str, Any] = {"n_neighbors": n_neighbors, "n_pcs": n_pcs, "resolution": resolution}
    with numba_threads():
        stream = generator(rng)
        seed = int(stream.integers(2**31))
        some = _at_random(target, key, stream)
        relative = _relative(get.impact(some, genes, as_anndata=True, downstream=True, key=key), min_cells)
        _cluster(relative, **params, seed=seed)
        markers = _markers(relative, n_markers)
    params = {"key": key, "n_knockouts": relative.n_vars, **params, "min_cells": min_cells, "n_markers": n_markers}
    content: dict[str, Any] = {keys.PARAMS: params, keys.MARKERS: markers}
    rows, labels = target.obs_names.get_indexer(relative.obs_names), relative.obs[_CLUSTER]
    if known is not None:
        params["groupby"] = groupby
        content[keys.AGREEMENT] = _agreement(str(groupby), known[rows], labels.to_numpy())
    obsm = {}
    for place, array in ((keys.impact_pca(name), "X_pca"), (keys.impact_umap(name), "X_umap")):
        obsm[place] = np.full((target.n_obs, relative.obsm[array].shape[1]), np.nan, dtype=np.float32)
        obsm[place][rows] = relative.obsm[array]
    clusters = labels.reindex(target.obs_names).array
    write(target, obs={keys.cluster(name): clusters}, obsm=obsm, uns={keys.cluster(name): content})
    say(f"Found {many(labels.nunique(), 'cluster')} of {many(len(rows), 'cell')}; see obs[{keys.cluster(name)!r}].")
    return data if copy else None


def _at_random(adata: AnnData, key: str, rng: np.random.Generator) -> AnnData:
    """Return as many cells as can be clustered at once with their impacts, all of them if there are no more."""
    from anndata import AnnData

    chosen, place = some_cells(np.ones(adata.n_obs, dtype=bool), rng, _MOST), keys.downstream(key)
    if chosen.all():
        return adata
    say(f"Clusters are of {drawn_of(_MOST, adata.n_obs, 'cell')}.")
    layers = {place: read_rows(adata.layers[place], chosen)} if place in layer_names(adata) else {}
    obsm = {place: adata.obsm[place][chosen]} if place in adata.obsm else {}
    return AnnData(obs=adata.obs.loc[chosen, []], var=adata.var[[]], layers=layers, obsm=obsm)


def _relative(impacts: AnnData, min_cells: int) -> AnnData:
    """Return log1p of impacts over the mean of the cell, and the impacts as a layer, without knockouts of few cells."""
    import scanpy as sc
    from anndata import AnnData

    require_unique(impacts.obs_names, "obs_names")
    values = stored(impacts.X, copy=True)
    values.eliminate_zeros()
    wanted = np.flatnonzero(values.getnnz(axis=0) >= min_cells)
    values = values[:, wanted]
    cells = np.flatnonzero(values.getnnz(axis=1))
    if min(len(wanted), len(cells)) < _FEWEST:
        raise ValueError(
            f"Clusters need at least {_FEWEST} cells, and {_FEWEST} knockouts that have an impact in {min_cells} "
            f"cells or more; there are {len(cells)} and {len(wanted)}: run dko.tl.scan, or lower min_cells."
        )
    found = AnnData(values[cells], obs=impacts.obs.iloc[cells, :0], var=impacts.var.iloc[wanted, :0])
    found.layers[_IMPACT] = found.X.copy()
    sc.pp.normalize_total(found, target_sum=found.n_vars)
    sc.pp.log1p(found)
    return found


def _cluster(relative: AnnData, n_neighbors: int, n_pcs: int, resolution: float, seed: int) -> None:
    """Set ``obsm["X_pca"]``, ``obsm["X_umap"]`` and ``obs["cluster"]``, by size; sparse values stay sparse."""
    import scanpy as sc

    require_leiden("Clusters")
    keep_compiled_umap()
    igraph: dict[str, Any] = {"flavor": "igraph", "n_iterations": 2, "directed": False, "key_added": _CLUSTER}
    steps = (
        partial(sc.pp.pca, n_comps=min(n_pcs, *(n - 1 for n in relative.shape))),
        partial(sc.pp.neighbors, n_neighbors=min(n_neighbors, relative.n_obs - 1), use_rep="X_pca"),
        partial(sc.tl.leiden, resolution=resolution, **igraph),
        sc.tl.umap,
    )
    for step in progress_over(steps, total=len(steps), description="cluster_impact", unit="step"):
        step(relative, random_state=seed)
    clusters = relative.obs[_CLUSTER]
    number = {name: str(place) for place, name in enumerate(clusters.value_counts().index)}
    relative.obs[_CLUSTER] = clusters.cat.rename_categories(number).cat.reorder_categories(number.values())


def _markers(relative: AnnData, n_markers: int) -> pd.DataFrame:
    """Return the knockouts that each cluster of two or more cells depends on more than all others do, best first."""
    import scanpy as sc

    sizes = relative.obs[_CLUSTER].value_counts(sort=False)
    clusters = list(sizes.index[sizes > 1])
    if len(sizes) < 2 or not clusters:
        return pd.DataFrame(columns=_MARKERS)
    sc.tl.rank_genes_groups(relative, _CLUSTER, groups=clusters, method="t-test", pts=True)
    found = sc.get.rank_genes_groups_df(relative, clusters)
    if "group" not in found:  # where there is one
        found["group"] = clusters[0]
    found = found.rename(columns=_COLUMNS).query("score > 0").groupby(_CLUSTER, observed=True).head(n_markers)
    row, column = sizes.index.get_indexer(found[_CLUSTER]), relative.var_names.get_indexer(found["knockout"])
    of_cluster = pd.get_dummies(relative.obs[_CLUSTER], dtype=np.float64).to_numpy().T
    total, n = (of_cluster @ values for values in (relative.layers[_IMPACT], relative.layers[_IMPACT] != 0))
    found["downstream_mean"] = total[row, column] / np.maximum(n[row, column], 1)
    return found.astype({_CLUSTER: object})[_MARKERS].reset_index(drop=True)


def _agreement(groupby: str, known: np.ndarray, clusters: np.ndarray) -> pd.DataFrame:
    """Return how clusters agree with known groups, over the cells that have one."""
    from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

    there = ~pd.isna(known)
    if not there.any():
        raise ValueError(f"No cell with an impact has a value in obs[{groupby!r}] to compare clusters with.")
    known, clusters = known[there].astype(str), clusters[there].astype(str)
    ari, ami = (score(known, clusters) for score in (adjusted_rand_score, adjusted_mutual_info_score))
    sizes = {"n_clusters": len(set(clusters)), "n_groups": len(set(known)), "n_cells": len(known)}
    return pd.DataFrame([{"groupby": groupby, "ari": ari, "ami": ami, **sizes}])
