from __future__ import annotations

import warnings
from typing import Any

import anndata as ad
import mudata
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from scipy import sparse
from scipy.stats import false_discovery_control

import dko
from dko._core.fitted import read_fitted
from dko.models.dko import total
from dko.models.dko.null import impacts_of_all, p_values

FAST: dict[str, Any] = {"n_bootstraps": 50}
GROUPS = ["B", "CD4/CD8 T"]


def require_order(table, by):
    """Genes that are called come first, and then the largest."""
    called = (table["pval_adj"] <= 0.05).to_numpy()
    assert (np.diff(called.astype(int)) <= 0).all()
    for part in (table[called], table[~called]):
        assert (np.diff(part[by]) <= 0).all()


def ranked_copy(adata, **how) -> Any:
    return dko.tl.rank_genes(adata, copy=True, **how, **FAST)


@pytest.fixture(scope="module")
def _direct(_fitted):
    return dko.tl.scan(_fitted, copy=True)


@pytest.fixture(scope="module")
def _total(_cells, quick):
    adata = dko.tl.fit(_cells, copy=True, **{**quick, "effects": "total"})
    dko.tl.scan(adata)
    return adata


@pytest.fixture(params=["direct", "total"])
def scanned(request, _direct, _total):
    return {"direct": _direct, "total": _total}[request.param].copy()


@pytest.fixture
def ranked(scanned):
    dko.tl.rank_genes(scanned, **FAST)
    return scanned


@pytest.fixture
def by_type(scanned):
    dko.tl.rank_genes(scanned, groupby="cell_type", **FAST)
    return scanned


def test_the_score_is_the_mean_of_the_layer_over_the_cells_that_express_the_gene(ranked):
    table = dko.get.ranking(ranked).set_index("gene")
    for score, layer in (("downstream_mean", "dko_downstream"), ("impact_mean", "dko_impact")):
        values = ranked.layers[layer].toarray()
        expected = values.sum(axis=0) / (ranked.X.toarray() > 0).sum(axis=0)
        np.testing.assert_allclose(table[score], pd.Series(expected, ranked.var_names)[table.index], rtol=1e-5)


def test_the_table_of_all_cells(scanned, capsys):
    ranked = ranked_copy(scanned)
    said = capsys.readouterr().err
    assert "Genes on which others depend in these cells (FDR <= 5 %): " in said and "in uns['dko_ranking']" in said
    table = dko.get.ranking(ranked)
    not_ranked = ranked.copy()
    del not_ranked.uns["dko_ranking"]
    plain = dko.get.ranking(not_ranked)
    same = ["downstream_mean", "impact_mean", "n_cells", "fraction", "expression_mean", "mark"]
    pd.testing.assert_frame_equal(
        table.set_index("gene")[same].sort_index(), plain.set_index("gene")[same].sort_index()
    )
    require_order(table, "downstream_mean")
    assert (table["downstream_low"] <= table["downstream_mean"]).all() and "specificity" not in table
    assert (table["downstream_mean"] <= table["downstream_high"]).all()
    np.testing.assert_allclose(table["pval_adj"], false_discovery_control(table["pval"]))
    for column in ("downstream_mean", "pval_adj"):  # the first is of the scan
        found = ranked.var[f"dko_{column}"]
        assert found.dtype == np.float32
        np.testing.assert_allclose(found[table["gene"]], table[column], rtol=1e-6)


def expected_p_values(fitted, group, adata, cells):
    """Compare downstream impacts on the mean profile of some cells, all of one model, with those of permuted genes."""
    model = fitted.model.part(group)
    effects, null = model.map, model.null
    counts = adata.X.toarray()
    profile = (counts / counts.sum(axis=1, keepdims=True))[cells].mean(axis=0)
    of_model = slice(None) if not fitted.groups else (adata.obs["cell_type"] == fitted.groups[group]).to_numpy()
    seen = (counts[of_model] > 0).sum(axis=0)
    return p_values(impacts_of_all(effects.influence, profile) / effects.step, null, seen, profile)


def fitted_now(counts, rng):
    """Total effects of these cells alone."""
    totals = np.asarray(counts.sum(axis=1, dtype=float)).ravel()
    return total.fit(sparse.csr_matrix(sparse.diags(1 / totals) @ counts).astype(np.float32), totals, rng, counts=True)


def test_without_a_null_in_the_fit_total_effects_of_the_cells_of_the_group_are_tested(_direct):
    table = dko.get.ranking(ranked_copy(_direct, groupby="cell_type"))
    for group, rng in zip(GROUPS, np.random.default_rng(0).spawn(2), strict=True):
        counts = sparse.csr_matrix(_direct[_direct.obs["cell_type"] == group].X)
        dko.models.bootstrap.bootstrap_means(counts, 50, rng)  # what is drawn before
        expected = pd.Series(fitted_now(counts, rng).p_values, _direct.var_names)
        part = table[table["group"] == group].set_index("gene")
        np.testing.assert_allclose(part["pval"], expected[part.index], rtol=1e-3)
        np.testing.assert_allclose(part["pval_adj"], false_discovery_control(part["pval"]))


def test_without_a_null_counts_are_recovered_where_possible(_direct, capsys):
    adata = _direct.copy()
    # The counts of a cell are known again by its least, where that is 1.
    for row in np.split(adata.X.data, adata.X.indptr[1:-1]):
        row[row.argmin()] = 1
    expected = ranked_copy(adata)
    assert expected.var["dko_pval_adj"].notna().all()
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    dko.tl.rank_genes(adata, **FAST)
    np.testing.assert_allclose(adata.var["dko_pval_adj"], expected.var["dko_pval_adj"], rtol=1e-4)
    adata = _direct.copy()
    adata.X.data *= np.random.default_rng(0).uniform(1, 2, adata.X.nnz)
    dko.tl.rank_genes(adata, **FAST)
    assert "p-values are approximate" in capsys.readouterr().err


def test_p_values_of_total_effects_are_of_the_downstream_impact(_total):
    fitted = read_fitted(_total, "dko")
    adata = ranked_copy(_total)
    expected = pd.Series(expected_p_values(fitted, 0, adata, np.full(80, True)), adata.var_names)
    table = dko.get.ranking(adata)
    np.testing.assert_allclose(table["pval"], expected[table["gene"]], rtol=1e-3)
    by_type = dko.get.ranking(ranked_copy(_total, groupby="cell_type"))
    for group, part in by_type.groupby("group", observed=True):
        cells = (adata.obs["cell_type"] == group).to_numpy()
        expected = pd.Series(expected_p_values(fitted, 0, adata, cells), adata.var_names)
        np.testing.assert_allclose(part["pval"], expected[part["gene"]], rtol=1e-3)


def test_cells_of_several_models_have_the_smallest_p_value_times_their_number(_cells, quick):
    adata: Any = dko.tl.fit(_cells, copy=True, groupby="cell_type", **{**quick, "effects": "total"})
    dko.tl.scan(adata)
    adata.obs["batch"] = "one"
    table = dko.get.ranking(ranked_copy(adata, groupby="batch"))
    fitted = read_fitted(adata, "dko")
    of_each = [
        expected_p_values(fitted, number, adata, (adata.obs["cell_type"] == group).to_numpy())
        for number, group in enumerate(fitted.groups)
    ]
    expected = pd.Series(np.minimum(1, 2 * np.min(of_each, axis=0)), adata.var_names)
    np.testing.assert_allclose(table["pval"], expected[table["gene"]], rtol=1e-3)


def n_called(counts):
    """Return how many genes there is evidence for, and the ranking."""
    cells = ad.AnnData(counts)
    dko.tl.fit(cells, effects="total", max_epochs=1, progress=False)
    dko.tl.scan(cells)
    dko.tl.rank_genes(cells, n_bootstraps=1)
    table = dko.get.ranking(cells)
    return int((table["pval_adj"] <= 0.05).sum()), table


@pytest.mark.parametrize("n_sets", [4, pytest.param(40, marks=pytest.mark.slow)])
def test_the_rate_is_of_what_is_ranked(n_sets):
    """Genes that move others are called and come first; where every gene is permuted over the cells, none is."""
    adata = dko.datasets.grn(400, 30, density=0.08, share_present=(0.6, 0.9), depth=2_000, rng=2)
    counts, n_targets = adata.X.toarray(), adata.varp["network"].getnnz(axis=1)
    n, table = n_called(counts)
    assert n > 15 and n_targets[table["gene"].astype(int)][:8].mean() > 1.5 * n_targets.mean()
    by_chance = [n_called(np.random.default_rng(seed).permuted(counts, axis=0))[0] > 0 for seed in range(n_sets)]
    assert sum(by_chance) <= 0.1 * n_sets


@pytest.mark.slow
def test_it_is_not_the_share_of_the_gene_itself(reference_data):
    cells = ad.read_h5ad(reference_data / "pbmc3k_raw_annotated.h5ad")
    dko.tl.fit(cells, progress=False)
    dko.tl.scan(cells, progress=False)
    dko.tl.rank_genes(cells, n_bootstraps=1)
    table = dko.get.ranking(cells)
    for genes in (table, table[table["pval_adj"] <= 0.05]):
        assert abs(genes["downstream_mean"].corr(genes["expression_mean"], method="spearman")) <= 0.4


@pytest.mark.parametrize("column", [None, "mt"])
def test_genes_are_marked_and_left_out(_direct, column):
    adata = _direct.copy()
    names, most = adata.var_names.to_list(), np.argsort(-adata.var["dko_n_cells"].to_numpy())
    for place, name in zip(most, ("MT-CO1", "RPS6KA1", "Rpl3", "RPSA"), strict=False):
        names[place] = name
    adata.var_names = adata.uns["dko"]["genes"] = names
    if column is not None:
        adata.var[column] = adata.var_names == "RPS6KA1"
    few = np.isin(np.arange(20), most[-2:]) & (np.arange(80)[:, None] > 20)
    for layer in ("dko_impact", "dko_downstream"):
        adata.layers[layer] = sparse.csr_matrix(adata.layers[layer].toarray() * ~few)
    adata.X = sparse.csr_matrix(adata.X.toarray() * ~few)
    rare = list(adata.var_names[most[-2:]])
    marked = dko.get.ranking(adata, min_cells=1).set_index("gene")
    assert set(marked.index[marked["mark"] == "ribosomal"]) == {"Rpl3", "RPSA"}
    assert set(marked.index[marked["mark"] == "few cells"]) == set(rare) and (marked.loc[rare, "n_cells"] < 30).all()
    mitochondrial, other = ("MT-CO1", "RPS6KA1")[:: 1 if column is None else -1]
    assert marked.loc[mitochondrial, "mark"] == "mitochondrial" and marked.loc[other, "mark"] == ""
    table = dko.get.ranking(ranked_copy(adata, exclude=["ribosomal", "few cells"]))
    assert not {"Rpl3", "RPSA", *rare} & set(table["gene"]) and mitochondrial in set(table["gene"])
    np.testing.assert_allclose(table["pval_adj"], false_discovery_control(table["pval"]))


def test_groups_have_rankings_of_their_own(by_type):
    table = dko.get.ranking(by_type, groupby="cell_type")
    assert table["group"].cat.categories.tolist() == GROUPS
    frame = by_type.varm["dko_ranking"]
    assert by_type.uns["dko_ranking"]["params"]["groupby"] == "cell_type"
    assert frame.columns.tolist() == ["B", "CD4%2FCD8 T"] and frame.index.equals(by_type.var_names)
    for group, column in zip(GROUPS, frame, strict=True):
        part = table[table["group"] == group].set_index("gene")
        np.testing.assert_allclose(frame.loc[part.index, column], part["downstream_mean"], rtol=1e-6)
    wide = table.pivot(index="gene", columns="group", values="specificity").dropna()
    assert len(wide) > 10
    np.testing.assert_allclose(wide["B"], -wide["CD4/CD8 T"], atol=1e-6)


def test_what_a_group_gets_does_not_depend_on_the_others(scanned):
    whole = ranked_copy(scanned, groupby="cell_type")
    dko.tl.rank_genes(scanned, groupby="cell_type", groups="CD4/CD8 T", **FAST)
    part = dko.get.ranking(scanned, groupby="cell_type")
    expected = dko.get.ranking(whole, groupby="cell_type")
    expected = expected[expected["group"] == "CD4/CD8 T"].reset_index(drop=True)
    pd.testing.assert_frame_equal(part.astype({"group": str}), expected.astype({"group": str}))


def test_the_same_rng_gives_the_same_and_another_does_not(scanned):
    first, again, other = (ranked_copy(scanned, rng=seed) for seed in (3, 3, 4))
    tables = [dko.get.ranking(adata) for adata in (first, again, other)]
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert not tables[0]["downstream_low"].equals(tables[2]["downstream_low"])


@pytest.mark.parametrize("by", ["impact_mean", "specificity"])
def test_it_ranks_by_what_is_asked_for(_direct, by):
    adata = ranked_copy(_direct, groupby="cell_type", by=by)
    for _, part in dko.get.ranking(adata, groupby="cell_type").groupby("group", observed=True):
        require_order(part, by)


def test_scanpy_reads_and_draws_it(by_type, tmp_path):
    import matplotlib.pyplot as plt

    table = dko.get.ranking(by_type, groupby="cell_type")
    for group in GROUPS:
        found = sc.get.rank_genes_groups_df(by_type, group=group, key="dko_ranking")
        part = table[table["group"] == group]
        assert set(found["names"]) == set(by_type.var_names) and found["names"].head(len(part)).tolist() == list(
            part["gene"]
        )
        np.testing.assert_allclose(found["scores"].head(len(part)), part["downstream_mean"], rtol=1e-5)
        np.testing.assert_allclose(found["logfoldchanges"].head(len(part)), part["specificity"], rtol=1e-5)
        np.testing.assert_allclose(found["pvals_adj"].head(len(part)), part["pval_adj"])
        assert (found["pvals"].tail(len(found) - len(part)) == 1).all()
    sc.pl.rank_genes_groups(by_type, key="dko_ranking", n_genes=5, show=False)
    assert len(plt.gcf().axes) == 2
    plt.close("all")
    by_type.write_h5ad(tmp_path / "cells.h5ad")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*zarr v2.*", category=UserWarning)
        by_type.write_zarr(tmp_path / "cells.zarr")
    for again in (ad.read_h5ad(tmp_path / "cells.h5ad"), ad.read_zarr(tmp_path / "cells.zarr")):
        pd.testing.assert_frame_equal(dko.get.ranking(again, groupby="cell_type"), table, check_categorical=False)
        for group in GROUPS:
            pd.testing.assert_frame_equal(
                sc.get.rank_genes_groups_df(again, group=group, key="dko_ranking"),
                sc.get.rank_genes_groups_df(by_type, group=group, key="dko_ranking"),
            )
        sc.pl.rank_genes_groups(again, key="dko_ranking", n_genes=5, show=False)
        plt.close("all")


def test_only_genes_that_were_knocked_out_are_ranked(_fitted):
    adata = _fitted.copy()
    dko.tl.scan(adata, genes=list(adata.var_names[2:8]), groups=np.arange(80) < 50)
    dko.tl.rank_genes(adata, **FAST)
    table = dko.get.ranking(adata)
    assert set(table["gene"]) <= set(adata.var_names[2:8]) and len(table)
    rng = np.random.default_rng(0).spawn(1)[0]
    dko.models.bootstrap.bootstrap_means(sparse.csr_matrix(adata.X[:50]), 50, rng)
    # The other genes are still those that may depend on these.
    expected = pd.Series(fitted_now(sparse.csr_matrix(adata.X[:50]), rng).p_values, adata.var_names)
    np.testing.assert_allclose(table["pval"], expected[table["gene"]], rtol=1e-3)


def test_rare_genes_come_last(_direct):
    adata = ranked_copy(_direct, min_cells=40)
    table = dko.get.ranking(adata)
    rare = adata.var_names[adata.var["dko_n_cells"] < 40]
    assert 0 < len(rare) == adata.n_vars - len(table) and not set(rare) & set(table["gene"])
    found = sc.get.rank_genes_groups_df(adata, group="all", key="dko_ranking")
    assert set(found["names"].tail(len(rare))) == set(rare) and found["scores"].tail(len(rare)).isna().all()
    assert adata.var["dko_pval_adj"][rare].isna().all()


def test_a_group_that_was_not_scanned_has_no_genes(_fitted):
    adata = _fitted.copy()
    dko.tl.scan(adata, groups={"cell_type": "B"})
    dko.tl.rank_genes(adata, groupby="cell_type", **FAST)
    assert dko.get.ranking(adata, groupby="cell_type")["group"].unique().tolist() == ["B"]
    assert sc.get.rank_genes_groups_df(adata, group="CD4/CD8 T", key="dko_ranking")["scores"].isna().all()


def test_nothing_is_specific_against_cells_that_were_not_scanned(_fitted):
    adata = _fitted.copy()
    dko.tl.scan(adata, groups={"cell_type": "B"})
    dko.tl.rank_genes(adata, groupby="cell_type", **FAST)
    table = dko.get.ranking(adata, groupby="cell_type")
    assert len(table) and table["specificity"].isna().all()
    found = sc.get.rank_genes_groups_df(adata, group="B", key="dko_ranking")
    assert (found["logfoldchanges"].head(len(table)) == 0).all()
    with pytest.raises(ValueError, match="none but those of 'B' was scanned"):
        dko.tl.rank_genes(adata, groupby="cell_type", groups="B", by="specificity", **FAST)


@pytest.mark.parametrize("groupby", [None, "cell_type"])
def test_a_scan_of_one_gene_is_of_the_cells_that_lack_it_too(_direct, _fitted, groupby):
    gene = "gene_5"
    adata: Any = dko.tl.scan(_fitted, genes=gene, copy=True)
    assert (adata.X[:, 5] > 0).mean() < 1
    part, whole = (ranked_copy(cells, groupby=groupby) for cells in (adata, _direct))
    found, expected = (dko.get.ranking(cells).set_index("gene").loc[[gene]] for cells in (part, whole))
    assert len(found) == len(expected) > 0
    same = ["pval", "n_cells", "downstream_mean", "impact_mean", "downstream_low", "downstream_high"]
    np.testing.assert_allclose(found[same], expected[same], rtol=1e-5)


def test_one_group_is_held_against_the_cells_of_none(_direct):
    adata = _direct.copy()
    adata.obs["one"] = adata.obs["cell_type"].cat.remove_categories("B")
    dko.tl.rank_genes(adata, groupby="one", by="specificity", **FAST)
    expected = dko.get.ranking(ranked_copy(_direct, groupby="cell_type")).query("group == 'CD4/CD8 T'")
    found = dko.get.ranking(adata, groupby="one").set_index("gene")["specificity"]
    np.testing.assert_allclose(found[expected["gene"]], expected["specificity"], rtol=1e-6)
    adata.obs["one"] = "T"
    with pytest.raises(ValueError, match="by='specificity' compares with other cells, and none but those of 'T'"):
        dko.tl.rank_genes(adata, groupby="one", by="specificity", **FAST)
    dko.tl.rank_genes(adata, groupby="one", **FAST)
    assert "specificity" not in dko.get.ranking(adata, groupby="one")


def test_groups_of_a_cell_or_two_are_ranked_without_p_values(_direct):
    adata = _direct.copy()
    adata.obs["few"] = ["one"] + ["some"] * 4 + ["many"] * 75
    dko.tl.rank_genes(adata, groupby="few", min_cells=1, **FAST)
    table = dko.get.ranking(adata, groupby="few", min_cells=1)
    assert table["group"].nunique() == 3 and (table.loc[table["group"] != "many", "pval"] == 1).all()
    assert table[["downstream_mean", "downstream_low", "specificity"]].notna().all(axis=None)


def test_a_ranking_elsewhere_has_columns_of_its_own(ranked):
    before = ranked.var.copy()
    dko.tl.rank_genes(ranked, by="impact_mean", key_added="other", rng=3, **FAST)
    pd.testing.assert_frame_equal(ranked.var[before.columns], before)
    np.testing.assert_array_equal(ranked.var["other_pval_adj"].isna(), before["dko_pval_adj"].isna())
    dko.tl.rank_genes(ranked, groupby="cell_type", key_added="other", **FAST)
    assert "group" in dko.get.ranking(ranked, groupby="cell_type", key_added="other")
    assert "other_pval_adj" not in ranked.var and "other" in ranked.varm
    pd.testing.assert_frame_equal(ranked.var, before)


def test_nothing_of_an_earlier_ranking_is_left(_direct):
    adata = _direct.copy()
    dko.tl.rank_genes(adata, groupby="cell_type", **FAST)
    dko.tl.rank_genes(adata, **FAST)
    assert "dko_ranking" not in adata.varm and "dko_pval_adj" in adata.var
    dko.tl.rank_genes(adata, groupby="cell_type", **FAST)
    assert "dko_ranking" in adata.varm and "dko_pval_adj" not in adata.var and "dko_downstream_mean" in adata.var


@pytest.mark.filterwarnings("ignore:From 0.4 .update:FutureWarning")  # mudata says it to all who make a MuData
def test_a_modality_of_a_mudata(_direct):
    mdata = mudata.MuData({"rna": _direct.copy()})
    dko.tl.rank_genes(mdata, **FAST)
    expected = ranked_copy(_direct)
    pd.testing.assert_frame_equal(dko.get.ranking(mdata), dko.get.ranking(expected))


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({"by": "impact"}, ValueError, "by='impact' must be one of 'downstream_mean'"),
        ({"by": "specificity"}, ValueError, "name their column"),
        ({"exclude": "MT"}, ValueError, "exclude='MT' must be one or several of 'mitochondrial', 'ribosomal'"),
        ({"min_cells": 0}, ValueError, "min_cells=0 must be at least 1"),
        ({"groups": "B"}, ValueError, "needs the obs column"),
        ({"groupby": "cell_type", "groups": []}, ValueError, r"groups=\[\] names no group"),
        ({"key_added": "by/type"}, ValueError, "key_added='by/type' must be a name without '/'"),
        ({"key_added": ""}, ValueError, "key_added='' must be a name"),
        ({"key_added": "dko"}, ValueError, "holds a model; choose another key_added"),
        ({"groupby": "type"}, KeyError, "No column 'type'"),
        ({"groupby": "cell_type", "groups": ["T"]}, KeyError, "No group 'T'"),
        ({"key": "other"}, KeyError, "run dko.tl.fit"),
    ],
)
def test_wrong_input(_direct, how, error, message):
    adata = _direct.copy()
    with pytest.raises(error, match=message):
        dko.tl.rank_genes(adata, **how)


def test_without_a_scan(fitted):
    with pytest.raises(KeyError, match=r"run dko.tl.scan"):
        dko.tl.rank_genes(fitted)


def test_a_scan_without_downstream_impacts(fitted):
    dko.tl.scan(fitted, downstream=False)
    with pytest.raises(
        KeyError, match=r"No downstream impacts, which genes rank by, in adata.layers\['dko_downstream'\]"
    ):
        dko.tl.rank_genes(fitted)
    table = dko.get.ranking(fitted)
    assert "downstream_mean" not in table and (np.diff(table["impact_mean"]) <= 0).all()


def test_layers_of_different_scans(_direct):
    adata = _direct.copy()
    other: Any = dko.tl.scan(adata, genes="gene_5", copy=True)
    adata.layers["dko_downstream"] = other.layers["dko_downstream"]
    with pytest.raises(ValueError, match="are of different scans; run dko.tl.scan"):
        dko.tl.rank_genes(adata)


def test_other_expression_than_the_scanned_one(_direct):
    adata = _direct.copy()
    adata.X = adata.X[::-1].copy()
    with pytest.raises(ValueError, match="not the one that was scanned"):
        dko.tl.rank_genes(adata)


def test_a_model_of_another_kind(perturbations):
    with pytest.raises(ValueError, match="kind 'sccvae'"):
        dko.tl.rank_genes(perturbations)
