from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import dko

from .. import paper as naive


@pytest.fixture
def adata(fitted):
    dko.tl.scan(fitted)
    dko.tl.virtual_ko(fitted, ["HSPA1A/B", ("gene_2", "gene_3")])
    return fitted


def test_named_knockouts_come_first_then_those_of_the_scan(adata):
    table = dko.get.impact(adata)
    rest = [gene for gene in adata.var_names if gene != "HSPA1A/B"]
    assert table.columns.tolist() == ["HSPA1A/B", "gene_2+gene_3", *rest]
    assert (table.dtypes == np.float32).all()
    scanned = adata[:, rest].layers["dko_impact"].toarray()
    absent = adata[:, rest].X.toarray() == 0
    np.testing.assert_array_equal(table[rest].to_numpy(), np.where(absent, np.nan, scanned))
    named = adata.obsm["dko_impact"]["gene_2+gene_3"]
    np.testing.assert_array_equal(table["gene_2+gene_3"], named)


def test_tidy(adata):
    wide, tidy = dko.get.impact(adata), dko.get.impact(adata, tidy=True)
    assert tidy.columns.tolist() == ["cell", "knockout", "impact"]
    assert len(tidy) == wide.notna().to_numpy().sum()
    back = tidy.pivot(index="cell", columns="knockout", values="impact").loc[wide.index, wide.columns]
    np.testing.assert_array_equal(back.to_numpy(), wide.to_numpy())
    table = dko.get.impact_table(adata)
    assert table.columns.tolist() == ["gene_id", "cell_id", "impact"] and table["impact"].dtype == np.float32
    assert (np.diff(adata.obs_names.get_indexer(table["cell_id"])) >= 0).all(), "cell by cell"
    del adata.obsm["dko_impact"]
    same = dko.get.impact(adata, tidy=True).rename(columns={"cell": "cell_id", "knockout": "gene_id"})
    pd.testing.assert_frame_equal(table.astype({"gene_id": str}), same[table.columns].astype({"gene_id": str}))
    assert list(table["gene_id"].cat.categories) == list(adata.var_names), "by whose codes files name genes"


def test_centred_is_what_is_above_the_other_knockouts_of_the_cell(adata):
    wide = dko.get.impact(adata)
    others = (wide.sum(axis=1).to_numpy()[:, None] - wide) / (wide.notna().sum(axis=1).to_numpy()[:, None] - 1)
    pd.testing.assert_frame_equal(dko.get.impact(adata, centred=True), (wide - others).astype(np.float32), rtol=1e-4)
    assert dko.get.impact(adata, "gene_5", centred=True).isna().all(axis=None), "no other knockout"


def test_an_impact_of_zero_is_not_a_missing_one(adata):
    adata.layers["dko_impact"].data[:] = 0
    table = dko.get.impact(adata, "gene_5")
    assert (table["gene_5"].notna().to_numpy() == (adata[:, "gene_5"].X.toarray() > 0).ravel()).all()


def test_as_anndata(adata):
    adata.obsm["X_pca"] = np.random.default_rng(0).normal(size=(adata.n_obs, 20))
    found = dko.get.impact(adata, as_anndata=True)
    assert "X_pca" not in found.obsm, "scanpy would find neighbours by it"
    wide = dko.get.impact(adata)[list(found.var_names)]
    scanned = (adata.layers["dko_impact"].toarray() > 0).any(axis=0)
    assert found.var_names.tolist() == adata.var_names[scanned].tolist()
    assert found.obs_names.equals(adata.obs_names) and found.var_names.tolist() == wide.columns.tolist()
    assert found.X.format == "csr" and found.X.dtype == np.float32
    np.testing.assert_array_equal(found.X.toarray(), wide.fillna(0).to_numpy())
    assert found.obs["cell_type"].equals(adata.obs["cell_type"])
    np.testing.assert_array_equal(found.obsm["X_umap"], adata.obsm["X_umap"])


def test_a_knockdown_does_not_stand_among_the_knockouts_of_a_scan(adata):
    full = dko.get.impact(adata, "gene_5")
    dko.tl.virtual_ko(adata, "gene_5", dose=0.1)
    assert (dko.get.impact(adata, "gene_5") < full).any(axis=None)
    pd.testing.assert_frame_equal(dko.get.impact(adata)[["gene_5"]], full)
    found = dko.get.impact(adata, as_anndata=True)
    np.testing.assert_array_equal(found[:, "gene_5"].X.toarray(), full.fillna(0))


def test_genes_reordered_after_the_scan_and_without_the_fit(adata):
    """Cells put together by anndata lose uns, not their impacts."""
    expected = dko.get.impact(adata)
    del adata.uns["dko"]
    shuffled = adata[:, ::-1].copy()
    pd.testing.assert_frame_equal(dko.get.impact(shuffled)[expected.columns], expected)


def test_downstream_impacts(adata):
    table = dko.get.impact(adata, ["gene_5", "gene_2+gene_3"], downstream=True)
    scanned = adata[:, "gene_5"].layers["dko_downstream"].toarray().ravel()
    np.testing.assert_array_equal(table["gene_5"].fillna(0), scanned)
    np.testing.assert_array_equal(table["gene_2+gene_3"], adata.obsm["dko_downstream"]["gene_2+gene_3"])
    assert dko.get.impact(adata, tidy=True, downstream=True).columns.tolist() == ["cell", "knockout", "downstream"]
    dko.tl.scan(adata, downstream=False)
    del adata.obsm["dko_downstream"]
    with pytest.raises(KeyError, match="No downstream impacts of knockouts under key 'dko'; run"):
        dko.get.impact(adata, downstream=True)


def expected(adata, genes, layers, rows=slice(None)):
    """Mean change over the cells that express any of the genes, and their number: without these in both profiles."""
    columns, changes = adata.var_names.get_indexer(genes), []
    for z in (adata.X.toarray()[rows] > 0).astype(float):
        if z[columns].any():
            lost = [g for g in columns if z[g]]
            profiles = [naive.profile(layers, z), naive.profile(layers, naive.knocked_out(z, lost))]
            for profile in profiles:
                profile[columns] = 0
            before, after = (np.log1p(1e4 * p / p.sum()) if p.sum() else p for p in profiles)
            changes.append(after - before)
    return np.mean(changes, axis=0), len(changes)


def test_equals_the_definition(fitted, layers_of):
    asked = [*fitted.var_names, ("gene_3", "gene_5")]
    effects = dko.get.effects(fitted, asked)
    assert effects.X.dtype == np.float32 and effects.obs_names.tolist() == [*fitted.var_names, "gene_3+gene_5"]
    assert dko.get.effects(fitted).obs_names.tolist() == effects.var_names.tolist() == fitted.var_names.tolist()
    for label in effects.obs_names:
        change, n_cells = expected(fitted, label.split("+"), layers_of(fitted))
        np.testing.assert_allclose(effects[label].X.ravel(), change, atol=2e-4)
        assert effects.obs.loc[label, ["knockout", "n_cells"]].tolist() == [label, n_cells]


def test_per_group(grouped, layers_of):
    effects = dko.get.effects(grouped, ["gene_3", "HSPA1A/B"], groupby="cell_type")
    assert set(effects.obs_names) == {f"{g} ({c})" for g in ("gene_3", "HSPA1A/B") for c in ("B", "CD4/CD8 T")}
    assert effects.obs["group"].cat.categories.tolist() == ["B", "CD4/CD8 T"]
    for number, group in enumerate(["B", "CD4/CD8 T"]):
        rows = (grouped.obs["cell_type"] == group).to_numpy()
        change, n_cells = expected(grouped, ["HSPA1A/B"], layers_of(grouped, number), rows)
        found = effects[f"HSPA1A/B ({group})"]
        np.testing.assert_allclose(found.X.ravel(), change, atol=2e-4)
        assert found.obs["n_cells"].item() == n_cells


def test_a_gene_that_no_cell_expresses_has_no_row(fitted):
    counts = fitted.X.toarray()
    counts[:, 4] = 0
    fitted.X = counts
    assert "gene_4" not in dko.get.effects(fitted).obs_names
    assert dko.get.effects(fitted, ["gene_4", "gene_5"]).obs_names.tolist() == ["gene_5"]


def test_per_group_of_the_control_cells(perturbed):
    gene = perturbed.uns["dko"]["targets"][3]
    effects = dko.get.effects(perturbed, gene, groupby="batch")
    control = perturbed.obs["perturbation"] == "control"
    assert effects.obs_names.tolist() == [f"{gene} (even)", f"{gene} (odd)"]
    assert effects.obs["n_cells"].tolist() == [(control & (perturbed.obs["batch"] == h)).sum() for h in ("even", "odd")]
    dko.tl.virtual_ko(perturbed, gene, groups={"batch": "even"})
    change = np.nanmean(perturbed.layers[f"dko_ko_{gene}"] - perturbed.X.toarray(), axis=0)
    np.testing.assert_allclose(effects.X[0], change, atol=1e-5)


def test_centred_against_the_others(perturbed):
    effects = dko.get.effects(perturbed)
    centred = dko.get.effects(perturbed, centred=True)
    np.testing.assert_allclose(centred.X[0], effects.X[0] - effects.X[1:].mean(axis=0), atol=1e-5)
    with pytest.raises(ValueError, match="name at least two genes"):
        dko.get.effects(perturbed, effects.obs_names[0], centred=True)
