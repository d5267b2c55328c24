from __future__ import annotations

import sys

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

import dko

from ..conftest import copy_of


@pytest.fixture(scope="module")
def _two_kinds():
    """90 cells that depend on one of two sets of ten genes, of very different depth, and one gene called A/B."""
    rng = np.random.default_rng(0)
    kind = np.arange(90) % 2
    rate = np.where((np.arange(20) < 10) == (kind[:, None] == 0), 4.0, 0.3)
    counts = rng.poisson(rate * rng.choice([0.5, 4.0], size=(90, 1))).astype(np.float32)
    counts[:, 0] += 1
    names = ["A/B", *(f"gene_{i}" for i in range(1, 20))]
    adata = AnnData(sparse.csr_matrix(counts), var=pd.DataFrame(index=names))
    adata.obs["kind"] = pd.Categorical(np.where(kind, "CD4/CD8 T", "B"))
    dko.tl.fit(adata, max_epochs=3, progress=False)
    return dko.tl.scan(adata, copy=True)


@pytest.fixture(scope="module")
def _clustered(_two_kinds):
    return dko.tl.cluster_impact(_two_kinds, groupby="kind", resolution=0.3, copy=True)


two_kinds, clustered = map(copy_of, ("two_kinds", "clustered"))


def test_cells_are_grouped_by_what_they_depend_on_and_not_by_depth(clustered):
    found = dko.get.clusters(clustered, what="agreement")
    assert found["ari"].item() > 0.9 and found["ami"].item() > 0.9
    assert found[["groupby", "n_groups", "n_cells"]].to_numpy().tolist() == [["kind", 2, 90]]
    assert found["n_clusters"].item() == clustered.obs["dko_cluster"].nunique() == 2
    sizes = clustered.obs["dko_cluster"].value_counts(sort=False)
    assert list(sizes.index) == ["0", "1"] and sizes.is_monotonic_decreasing
    deep = np.asarray(clustered.X.sum(axis=1)).ravel() > 50
    assert pd.crosstab(deep, clustered.obs["dko_cluster"]).to_numpy().min() > 10


def test_columns_of_markers_are_what_they_say(clustered):
    impact = dko.get.impact(clustered, downstream=True)
    relative = np.log1p(impact.div(impact.sum(axis=1), axis=0).fillna(0) * impact.shape[1])
    for row in dko.get.clusters(clustered).groupby("cluster").head(3).itertuples():
        inside = (clustered.obs["dko_cluster"] == row.cluster).to_numpy()
        mine, others = impact.loc[inside, row.knockout], impact.loc[~inside, row.knockout]
        assert row.downstream_mean == pytest.approx(mine.mean(), rel=1e-4)
        assert (row.fraction, row.fraction_others) == pytest.approx((mine.notna().mean(), others.notna().mean()))
        means = relative[row.knockout].groupby(inside).mean()
        change = np.log2(np.expm1(means[True]) / np.expm1(means[False]))
        assert row.log_fold_change == pytest.approx(change, rel=1e-3)


def test_cells_without_an_impact_have_no_cluster(two_kinds):
    two_kinds.obs["half"] = np.where(np.arange(90) < 60, "a", "b")
    dko.tl.scan(two_kinds, groups={"half": "a"})
    dko.tl.cluster_impact(two_kinds, min_cells=1)
    outside = (two_kinds.obs["half"] == "b").to_numpy()
    assert (two_kinds.obs["dko_cluster"].isna() == outside).all()
    assert (np.isnan(two_kinds.obsm["X_dko_impact_umap"]).all(axis=1) == outside).all()
    assert (np.isnan(two_kinds.obsm["X_dko_impact_pca"]).any(axis=1) == outside).all()


def test_chosen_knockouts_and_names_of_results(two_kinds):
    genes = list(two_kinds.var_names[::2])
    before = set(two_kinds.uns)
    dko.tl.cluster_impact(two_kinds, genes=genes, n_pcs=4, n_markers=2, key_added="few")
    assert set(two_kinds.uns) - before == {"few_cluster"}
    assert two_kinds.obsm["X_few_impact_pca"].shape == (90, 4)
    assert two_kinds.uns["few_cluster"]["params"]["n_knockouts"] == 10
    markers = dko.get.clusters(two_kinds, key="few")
    assert set(markers["knockout"]) <= set(genes) and markers.groupby("cluster").size().max() == 2
    with pytest.raises(KeyError, match="was given no groups"):
        dko.get.clusters(two_kinds, key="few", what="agreement")


def test_one_cluster_has_no_markers(two_kinds, tmp_path):
    one_kind = two_kinds[two_kinds.obs["kind"] == two_kinds.obs["kind"].iloc[0]].copy()
    dko.tl.cluster_impact(one_kind, resolution=1e-6)
    assert one_kind.obs["dko_cluster"].nunique() == 1
    one_kind.write_h5ad(tmp_path / "cells.h5ad")
    markers = dko.get.clusters(ad.read_h5ad(tmp_path / "cells.h5ad"))
    assert markers.empty and "knockout" in markers


def test_leiden_is_missing(two_kinds, monkeypatch):
    monkeypatch.setitem(sys.modules, "igraph", None)
    with pytest.raises(ImportError, match=r"Clusters are found with Leiden.*pip install 'scanpy\[leiden\]'"):
        dko.tl.cluster_impact(two_kinds)
