from __future__ import annotations

from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from scipy import sparse
from scipy.stats import false_discovery_control

import dko
from dko._core.fitted import read_fitted
from dko.models.dko import total
from dko.models.dko.evidence import impacts, p_values

FAST: dict[str, Any] = {"n_bootstraps": 50}
GROUPS = ["B", "CD4/CD8 T"]
SAME_AS_SCANPY = {"scores": "downstream_mean", "logfoldchanges": "specificity", "pvals_adj": "pval_adj"}


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
def _total_scanned(_total):
    return dko.tl.scan(_total, copy=True)


@pytest.fixture(params=["direct", "total"])
def scanned(request, _direct, _total_scanned):
    return {"direct": _direct, "total": _total_scanned}[request.param].copy()


def test_the_table_of_all_cells(scanned):
    ranked = ranked_copy(scanned)
    table = dko.get.ranking(ranked)
    require_order(table, "downstream_mean")
    assert (table["downstream_low"] <= table["downstream_mean"]).all() and "specificity" not in table
    assert (table["downstream_mean"] <= table["downstream_high"]).all()
    np.testing.assert_allclose(table["pval_adj"], false_discovery_control(table["pval"]))
    for column in ("downstream_mean", "pval_adj"):  # the first is of the scan
        np.testing.assert_allclose(ranked.var[f"dko_{column}"][table["gene"]], table[column], rtol=1e-6)


def expected_p_values(fitted, group, adata, cells):
    """Compare downstream impacts on the mean profile of some cells, all of one model, with those of permuted genes."""
    model = fitted.model.part(group)
    effects, null = model.map, model.null
    counts = adata.X.toarray()
    profile = (counts / counts.sum(axis=1, keepdims=True))[cells].mean(axis=0)
    of_model = slice(None) if not fitted.groups else (adata.obs["cell_type"] == fitted.groups[group]).to_numpy()
    seen = (counts[of_model] > 0).sum(axis=0)
    return p_values(impacts(effects.influence.T, profile) / effects.step, null, seen, profile)


def fitted_now(counts, rng):
    """Total effects of these cells alone."""
    totals = np.asarray(counts.sum(axis=1, dtype=float)).ravel()
    return total.fit(sparse.csr_matrix(sparse.diags(1 / totals) @ counts).astype(np.float32), totals, rng, counts=True)


def test_without_a_null_in_the_fit_total_effects_of_the_cells_of_the_group_are_tested(_direct):
    table = dko.get.ranking(ranked_copy(_direct, groupby="cell_type"))
    for group, rng in zip(GROUPS, np.random.default_rng(0).spawn(2), strict=True):
        counts = sparse.csr_matrix(_direct[_direct.obs["cell_type"] == group].X)
        dko.models.statistics.bootstrap_means(counts, 50, rng)  # what is drawn before
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


def test_p_values_of_total_effects_are_of_the_downstream_impact(_total_scanned):
    fitted = read_fitted(_total_scanned, "dko")
    adata = ranked_copy(_total_scanned)
    expected = pd.Series(expected_p_values(fitted, 0, adata, np.full(80, True)), adata.var_names)
    table = dko.get.ranking(adata)
    np.testing.assert_allclose(table["pval"], expected[table["gene"]], rtol=1e-3)
    by_type = dko.get.ranking(ranked_copy(_total_scanned, groupby="cell_type"))
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


def test_the_rate_is_of_what_is_ranked():
    """Genes with many targets are called and come first; where every gene is permuted over the cells, none is."""
    adata = dko.datasets.grn(400, 30, density=0.08, share_present=(0.6, 0.9), depth=2_000, rng=2)
    counts, n_targets = adata.X.toarray(), adata.varp["network"].getnnz(axis=1)
    n, table = n_called(counts)
    assert n > 15 and n_targets[table["gene"].astype(int)][:8].mean() > 1.5 * n_targets.mean()
    assert not any(n_called(np.random.default_rng(seed).permuted(counts, axis=0))[0] for seed in range(4))


@pytest.mark.parametrize("column", [None, "mt"])
def test_genes_are_marked_and_left_out(_direct, column):
    adata = _direct.copy()
    names, most = adata.var_names.to_list(), np.argsort(-adata.var["dko_n_cells"].to_numpy())
    for place, name in zip(most, ("MT-CO1", "RPS6KA1", "Rpl3", "RPSA"), strict=False):
        names[place] = name
    adata.var_names = adata.uns["dko"]["genes"] = names
    if column is not None:
        adata.var[column] = adata.var_names == "RPS6KA1"
    marked = dko.get.ranking(adata, min_cells=1).set_index("gene")
    few = set(marked.index[marked["n_cells"] < 30]) - {"MT-CO1", "RPS6KA1", "Rpl3", "RPSA"}
    assert set(marked.index[marked["mark"] == "ribosomal"]) == {"Rpl3", "RPSA"}
    assert set(marked.index[marked["mark"] == "few cells"]) == few
    mitochondrial, other = ("MT-CO1", "RPS6KA1")[:: 1 if column is None else -1]
    assert marked.loc[mitochondrial, "mark"] == "mitochondrial" and marked.loc[other, "mark"] == ""
    table = dko.get.ranking(ranked_copy(adata, exclude=["ribosomal", "few cells"]))
    assert not {"Rpl3", "RPSA", *few} & set(table["gene"]) and mitochondrial in set(table["gene"])
    np.testing.assert_allclose(table["pval_adj"], false_discovery_control(table["pval"]))


def test_it_says_where_ribosomal_genes_come_first(scanned, capsys):
    adata, first = scanned, dko.get.ranking(ranked_copy(scanned))["gene"][0]
    assert "exclude=" not in capsys.readouterr().err
    adata.var_names = adata.uns["dko"]["genes"] = ["RPL3" if name == first else name for name in adata.var_names]
    ranked_copy(adata)
    assert "Some of the first are ribosomal: exclude=['ribosomal'] leaves these out." in capsys.readouterr().err
    ranked_copy(adata, exclude="ribosomal")
    assert "leaves these out" not in capsys.readouterr().err


def test_what_a_group_gets_does_not_depend_on_the_others(scanned):
    whole = ranked_copy(scanned, groupby="cell_type")
    dko.tl.rank_genes(scanned, groupby="cell_type", groups="CD4/CD8 T", **FAST)
    part = dko.get.ranking(scanned, groupby="cell_type")
    expected = dko.get.ranking(whole, groupby="cell_type")
    expected = expected[expected["group"] == "CD4/CD8 T"].reset_index(drop=True)
    pd.testing.assert_frame_equal(part.astype({"group": str}), expected.astype({"group": str}))


def test_nothing_is_specific_against_cells_that_were_not_scanned(_fitted):
    adata = _fitted.copy()
    dko.tl.scan(adata, groups={"cell_type": "B"})
    dko.tl.rank_genes(adata, groupby="cell_type", **FAST)
    table = dko.get.ranking(adata, groupby="cell_type")
    assert table["group"].unique().tolist() == ["B"] and table["specificity"].isna().all()
    assert sc.get.rank_genes_groups_df(adata, group="CD4/CD8 T", key="dko_ranking")["scores"].isna().all()
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


def test_nothing_of_an_earlier_ranking_is_left(_direct):
    adata = _direct.copy()
    dko.tl.rank_genes(adata, groupby="cell_type", **FAST)
    dko.tl.rank_genes(adata, **FAST)
    assert "dko_ranking" not in adata.varm and "dko_pval_adj" in adata.var
    dko.tl.rank_genes(adata, groupby="cell_type", **FAST)
    assert "dko_ranking" in adata.varm and "dko_pval_adj" not in adata.var and "dko_downstream_mean" in adata.var


def test_scanpy_reads_it(scanned):
    by_type = ranked_copy(scanned, groupby="cell_type")
    table = dko.get.ranking(by_type, groupby="cell_type")
    for group in GROUPS:
        found = sc.get.rank_genes_groups_df(by_type, group=group, key="dko_ranking")
        part = table[table["group"] == group]
        first = found.head(len(part))
        assert set(found["names"]) == set(by_type.var_names) and first["names"].tolist() == list(part["gene"])
        for name, column in SAME_AS_SCANPY.items():
            np.testing.assert_allclose(first[name], part[column], rtol=1e-5)
        assert (found["pvals"].tail(len(found) - len(part)) == 1).all()


def test_layers_that_are_not_of_this_scan(_direct, fitted):
    with pytest.raises(KeyError, match=r"run dko.tl.scan"):
        dko.tl.rank_genes(fitted)
    other, turned = _direct.copy(), _direct.copy()
    one: Any = dko.tl.scan(other, genes="gene_5", copy=True)
    other.layers["dko_downstream"] = one.layers["dko_downstream"]
    turned.X = turned.X[::-1].copy()
    for adata, message in ((other, "are of different scans; run dko.tl.scan"), (turned, "not the one that was scann")):
        with pytest.raises(ValueError, match=message):
            dko.tl.rank_genes(adata)


def test_groups_without_a_ranked_gene_are_named(_direct, capsys):
    adata = _direct.copy()
    adata.obs["some"] = np.where(np.arange(adata.n_obs) < 3, "few", "many")
    ranked_copy(adata, groupby="some")
    said = capsys.readouterr().err
    assert " in many" in said and "in few" not in said
    assert "Too few cells to rank genes in 'few'." in said
