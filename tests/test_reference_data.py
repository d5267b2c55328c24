"""Real data: the published tables of the paper's own example, and blood cells worked on with plain scanpy."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

import dko


@pytest.fixture(scope="module")
def reference(reference_data):
    return reference_data / "reference"


def spearman_of_singles(adata, reference):
    published = pd.read_csv(reference / "Impact_results.csv.gz")
    found = adata.layers["dko_impact"].toarray()[published["cell_id"], published["gene_id"]]
    assert len(published) == adata.layers["dko_impact"].nnz == 39_343
    return spearmanr(published["k_pred"], found).statistic


def test_the_paper_is_reproduced(reference):
    adata = dko.io.read_reference(reference / "Ptrain.csv.gz")
    assert adata.shape == (500, 100)
    dko.tl.fit(adata, preset="paper", max_steps=1_000, progress=False)
    dko.tl.scan(adata)
    assert spearman_of_singles(adata, reference) >= 0.975


@pytest.mark.slow
def test_the_paper_is_reproduced_by_three_seeds(reference):
    singles, errors, baseline = [], [], []
    for seed in range(3):
        adata = dko.io.read_reference(reference / "Ptrain.csv.gz")
        dko.tl.fit(adata, preset="paper", rng=seed, progress=False)
        dko.tl.scan(adata)
        singles.append(spearman_of_singles(adata, reference))
        dko.tl.fit(adata, preset="paper", test_fraction=0.2, rng=seed, progress=False, key_added="mapping")
        test, train = (dko.get.profiles(adata, split=split, key="mapping") for split in ("test", "train"))
        assert test.n_obs == 100
        errors.append(dko.metrics.fit_quality(test.X, test.layers["predicted"])["bray_curtis"])
        baseline.append(dko.metrics.bray_curtis(test.X, dko.metrics.gene_mean(train.X, test.X)).mean())
    assert np.mean(singles) >= 0.98
    assert np.mean(errors) <= 0.112
    assert np.mean(baseline) > np.mean(errors) + 0.03


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:invalid value encountered in log2:RuntimeWarning",  # scanpy, fold changes of genes that nobody expresses
    "ignore:divide by zero encountered in log2:RuntimeWarning",
)
def test_blood_cells_with_plain_scanpy(reference_data, tmp_path, dense):
    import matplotlib.pyplot as plt
    import scanpy as sc

    adata = ad.read_h5ad(reference_data / "pbmc3k_raw_annotated.h5ad")
    adata = adata[adata.obs["cell_type"].notna()].copy()
    adata.obs["cell_type"] = adata.obs["cell_type"].cat.remove_unused_categories()
    counts = adata.copy()
    dko.tl.fit(adata, n_top_genes=1000, genes=["CD79A", "NKG7"], max_epochs=5, progress=False)
    dko.tl.scan(adata)
    np.testing.assert_array_equal(dense(adata.X), dense(counts.X))

    impact = dko.get.impact(adata, as_anndata=True)
    assert impact.n_vars <= 1000 and {"CD79A", "NKG7"} <= set(impact.var_names)
    sc.pp.pca(impact, n_comps=20)
    sc.pp.neighbors(impact)
    sc.tl.leiden(impact, flavor="igraph", n_iterations=2, directed=False)
    assert impact.obs["leiden"].nunique() > 2

    sc.tl.umap(impact)
    adata.obsm["X_umap"] = impact.obsm["X_umap"]
    axes = sc.pl.umap(adata, color="CD79A", layer="dko_impact", show=False)
    assert axes.get_title() == "CD79A"
    plt.close("all")

    sc.tl.rank_genes_groups(adata, "cell_type", layer="dko_impact", method="t-test")
    markers = {group: sc.get.rank_genes_groups_df(adata, group)["names"][:50].tolist() for group in ("B", "NK")}
    assert "CD79A" in markers["B"] and "NKG7" in markers["NK"]

    dko.tl.virtual_ko(adata, ["CD79A", ("CD79A", "NKG7")])
    adata.write_h5ad(tmp_path / "pbmc.h5ad")
    back = ad.read_h5ad(tmp_path / "pbmc.h5ad")
    pd.testing.assert_frame_equal(dko.get.impact(back), dko.get.impact(adata), check_names=False)
