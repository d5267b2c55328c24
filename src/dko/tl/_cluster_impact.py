"""Cells grouped by what they depend on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import get
from .._core import keys
from .._core.cells import unwrap
from .._core.groups import group_of_cells
from .._core.knockouts import open_model
from .._core.messages import say
from .._core.verb import verb
from .._core.write import writable, write
from .._rng import generator
from ._impact_clusters import CLUSTER, Plan, agreement_with, cluster_cells, markers_of_clusters, relative_impacts

if TYPE_CHECKING:
    from .._typing import RNG, AnnData, Knockouts, MuData


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
        Seed or generator of the components, the clusters and the map.
    key_added
        What the names of the results begin with; `key` by default.
    %(written)s

    ``obs[f"{key_added}_cluster"]``
        Category, ``"0"`` is the largest; NaN for a cell without any impact.
    ``obsm[f"X_{key_added}_impact_umap"]``, ``obsm[f"X_{key_added}_impact_pca"]``
        float32, NaN for such a cell: ``sc.pl.embedding(adata, "dko_impact_umap", color="dko_cluster")``.
    ``uns[f"{key_added}_cluster"]``
        ``params``; ``markers``, a DataFrame of the knockouts that a cluster depends on more than all others do:
        ``score`` (Welch's t of what is compared), ``log_fold_change`` (log2), ``pval_adj`` (clusters were found in the
        same values, so it ranks and tests nothing), ``fraction`` and ``fraction_others`` (of the cells that have this
        impact) and ``downstream_mean`` (over those of the cluster); and, with `groupby`, ``agreement``, a row with
        ``ari`` and ``ami`` (adjusted Rand index and mutual information), ``n_clusters``, ``n_groups``, ``n_cells``.
        :func:`dko.get.clusters` reads both.

    %(errors)s
        a fit of another model; fewer than three knockouts or cells.
    ImportError
        Leiden is not installed.
    """
    plan = Plan(n_neighbors, n_pcs, resolution, min_cells, n_markers)
    if n_neighbors < 2:
        raise ValueError(f"n_neighbors={n_neighbors} must be at least 2.")
    name = key if key_added is None else key_added
    data = writable(adata, copy, mod)
    target = unwrap(data, mod)
    if key in target.uns:
        open_model(target, key, "", needs="scan")
    known = None if groupby is None else group_of_cells(target, groupby)
    relative = relative_impacts(get.impact(target, genes, as_anndata=True, downstream=True, key=key), plan)
    cluster_cells(relative, plan, int(generator(rng).integers(2**31)))
    rows, labels = target.obs_names.get_indexer(relative.obs_names), relative.obs[CLUSTER]
    content: dict[str, Any] = {
        keys.PARAMS: {"key": key, "n_knockouts": relative.n_vars, **plan._asdict()},
        keys.MARKERS: markers_of_clusters(relative, n_markers),
    }
    if known is not None:
        content[keys.PARAMS]["groupby"] = groupby
        content[keys.AGREEMENT] = agreement_with(str(groupby), known[rows], labels.to_numpy())
    obsm = {}
    for place, array in ((keys.impact_pca(name), "X_pca"), (keys.impact_umap(name), "X_umap")):
        obsm[place] = np.full((target.n_obs, relative.obsm[array].shape[1]), np.nan, dtype=np.float32)
        obsm[place][rows] = relative.obsm[array]
    clusters = labels.reindex(target.obs_names).array
    write(target, obs={keys.cluster(name): clusters}, obsm=obsm, uns={keys.cluster(name): content})
    say(
        f"Found {labels.nunique()} clusters of {len(rows):,} cells by the downstream impacts of {relative.n_vars:,} "
        f"knockouts. They are in obs[{keys.cluster(name)!r}], what marks them in uns[{keys.cluster(name)!r}]."
    )
    return data if copy else None
