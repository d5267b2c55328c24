"""From the impacts of each cell to groups of cells, and to the knockouts that mark them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from .._compat import stored
from .._core.cells import require_unique
from .._core.messages import progress_of
from .._core.process import keep_compiled_umap, numba_threads
from ._modules import require_leiden

if TYPE_CHECKING:
    from anndata import AnnData

# Fewer knockouts, or cells, have no principal components and no neighbours worth the name.
_FEWEST = 3
CLUSTER, _IMPACT = "cluster", "impact"
# Columns of scanpy's table, and what they are called here.
_COLUMNS = {
    "group": CLUSTER,
    "names": "knockout",
    "scores": "score",
    "logfoldchanges": "log_fold_change",
    "pvals_adj": "pval_adj",
    "pct_nz_group": "fraction",
    "pct_nz_reference": "fraction_others",
}
_MARKERS = [*_COLUMNS.values(), "downstream_mean"]


class Plan(NamedTuple):
    """What the user asked for; see :func:`dko.tl.cluster_impact`."""

    n_neighbors: int
    n_pcs: int
    resolution: float
    min_cells: int
    n_markers: int


@numba_threads()
def relative_impacts(impacts: AnnData, plan: Plan) -> AnnData:
    """Return log1p of impacts over the mean of the cell, and the impacts as a layer, without knockouts of few cells."""
    import scanpy as sc
    from anndata import AnnData

    require_unique(impacts.obs_names, "obs_names")
    values = stored(impacts.X, copy=True)
    values.eliminate_zeros()
    wanted = np.flatnonzero(values.getnnz(axis=0) >= plan.min_cells)
    values = values[:, wanted]
    cells = np.flatnonzero(values.getnnz(axis=1))
    if min(len(wanted), len(cells)) < _FEWEST:
        raise ValueError(
            f"Clusters need at least {_FEWEST} cells, and {_FEWEST} knockouts that have an impact in {plan.min_cells} "
            f"cells or more; there are {len(cells)} and {len(wanted)}: run dko.tl.scan, or lower min_cells."
        )
    found = AnnData(
        values[cells],
        obs=pd.DataFrame(index=impacts.obs_names[cells]),
        var=pd.DataFrame(index=impacts.var_names[wanted]),
    )
    found.layers[_IMPACT] = found.X.copy()
    sc.pp.normalize_total(found, target_sum=found.n_vars)
    sc.pp.log1p(found)
    return found


@numba_threads()
def cluster_cells(relative: AnnData, plan: Plan, seed: int) -> None:
    """Set ``obsm["X_pca"]``, ``obsm["X_umap"]`` and ``obs["cluster"]``, by size; sparse values stay sparse."""
    import scanpy as sc

    require_leiden("Clusters")
    keep_compiled_umap()
    n_neighbors = min(plan.n_neighbors, relative.n_obs - 1)
    with progress_of(4, description="cluster_impact", unit="step") as advance:
        sc.pp.pca(relative, n_comps=min(plan.n_pcs, *(n - 1 for n in relative.shape)), random_state=seed)
        advance(1)
        sc.pp.neighbors(relative, n_neighbors=n_neighbors, use_rep="X_pca", random_state=seed)
        advance(1)
        sc.tl.leiden(
            relative,
            resolution=plan.resolution,
            flavor="igraph",
            n_iterations=2,
            directed=False,
            random_state=seed,
            key_added=CLUSTER,
        )
        advance(1)
        clusters = relative.obs[CLUSTER]
        number = {name: str(place) for place, name in enumerate(clusters.value_counts().index)}
        relative.obs[CLUSTER] = clusters.cat.rename_categories(number).cat.reorder_categories(number.values())
        sc.tl.umap(relative, random_state=seed)
        advance(1)


@numba_threads()
def markers_of_clusters(relative: AnnData, n_markers: int) -> pd.DataFrame:
    """Return the knockouts that each cluster of two or more cells depends on more than all others do, best first."""
    import scanpy as sc

    sizes = relative.obs[CLUSTER].value_counts(sort=False)
    clusters = list(sizes.index[sizes > 1])
    if len(sizes) < 2 or not clusters:
        return pd.DataFrame(columns=_MARKERS)
    sc.tl.rank_genes_groups(relative, CLUSTER, groups=clusters, method="t-test", pts=True)
    found = sc.get.rank_genes_groups_df(relative, clusters)
    if "group" not in found:  # where there is one
        found["group"] = clusters[0]
    found = found.rename(columns=_COLUMNS).query("score > 0").groupby(CLUSTER, observed=True).head(n_markers)
    row, column = (
        names.get_indexer(found[name]) for names, name in ((sizes.index, CLUSTER), (relative.var_names, "knockout"))
    )
    of_cluster = pd.get_dummies(relative.obs[CLUSTER], dtype=np.float64).to_numpy().T
    total, n = (of_cluster @ values for values in (relative.layers[_IMPACT], relative.layers[_IMPACT] != 0))
    found["downstream_mean"] = total[row, column] / np.maximum(n[row, column], 1)
    return found.astype({CLUSTER: object})[_MARKERS].reset_index(drop=True)


def agreement_with(groupby: str, known: np.ndarray, clusters: np.ndarray) -> pd.DataFrame:
    """Return how clusters agree with known groups, over the cells that have one."""
    from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

    there = ~pd.isna(known)
    if not there.any():
        raise ValueError(f"No cell with an impact has a value in obs[{groupby!r}] to compare clusters with.")
    known, clusters = known[there].astype(str), clusters[there].astype(str)
    ari, ami = (score(known, clusters) for score in (adjusted_rand_score, adjusted_mutual_info_score))
    sizes = {"n_clusters": len(set(clusters)), "n_groups": len(set(known)), "n_cells": len(known)}
    return pd.DataFrame([{"groupby": groupby, "ari": ari, "ami": ami, **sizes}])
