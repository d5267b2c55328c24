from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import dko


@pytest.fixture
def results():
    """Tables as the verbs leave them, whose tests read their results with these getters."""
    genes, knockouts = ["gene_7", "A/B", "x"], ["gene_7", "A/B", "C+D"]
    affected = pd.DataFrame(
        [(k, group, gene) for k in knockouts for group in ("B", "CD4/CD8 T") for gene in genes if gene != k],
        columns=["knockout", "group", "gene"],
    )
    affected["z"] = np.where(affected["gene"] == "x", np.nan, np.arange(len(affected)))
    affected = affected.assign(change=affected["z"] / 10, n_cells=30, pval_adj=0.5, specific=True)
    doses = pd.DataFrame({"knockout": np.repeat(knockouts, 2), "dose": [0.5, 1.0] * 3})
    shifts = pd.DataFrame({"knockout": np.repeat(knockouts, 2), "type": ["T", "NK"] * 3, "length": 1.0, "n_cells": 7})
    pairs = pd.DataFrame({"group": ["B", "B", "CD4/CD8 T"], "gene_a": ["A/1", "A/1", "b"], "gene_b": ["b", "c", "c"]})
    pairs = pairs.assign(downstream_a=0.1, interaction=[-0.1, 0.2, -0.3])
    pairs["class"] = pd.Categorical(["buffering", "additive", "buffering"])
    modules = pd.DataFrame(
        {"perturbation": ["C", "A", "B/D", "E"], "module": ["2", "no effect", "1", "1"], "strength": [1.0, 0.1, 3, 2]}
    ).assign(umap_1=np.arange(4.0), umap_2=np.arange(4.0) + 5)
    uns = {
        "dko_affected": {"table": affected},
        "dko_dose_response": {
            "table": doses.assign(impact_mean=0.1, impact_q25=0.0, impact_q75=0.2),
            "responders": doses.assign(gene="x", change=0.1).query("knockout != 'C+D'"),
        },
        "dko_identity": {"table": shifts},
        "dko_interactions": {"table": pairs},
        "dko_modules": {
            "params": {"basis": "latent"},
            "table": modules,
            "markers": pd.DataFrame({"module": ["1", "2"], "gene": ["x", "y"], "change": [1.0, -1.0]}),
            "vectors": np.arange(12, dtype=np.float32).reshape(4, 3),
        },
        "dko_cluster": {
            "markers": pd.DataFrame({"cluster": ["0", "1"], "knockout": ["A", "B/C"], "score": [3.0, 2.0]}, [5, 6]),
            "agreement": pd.DataFrame({"groupby": ["cell_type"], "ari": [0.5], "ami": [0.4]}),
        },
    }
    return AnnData(np.ones((1, 1), dtype=np.float32), uns=uns)


def get(name, adata, *args, **kwargs):
    return getattr(dko.get, name)(adata, *args, **kwargs)


@pytest.mark.parametrize("name", ["affected_genes", "dose_response", "identity"])
def test_knockouts_in_the_order_asked_for(name, results):
    assert list(get(name, results)["knockout"].unique()) == ["gene_7", "A/B", "C+D"]
    for wanted in ([("D", "C"), "gene_7", "gene_7"], ["D+C", "gene_7"]):
        found = get(name, results, wanted)
        assert list(found["knockout"].unique()) == ["C+D", "gene_7"] and found.index.tolist() == list(range(len(found)))
    pd.testing.assert_frame_equal(
        get(name, results, "A/B"), get(name, results).query("knockout == 'A/B'").reset_index(drop=True)
    )


@pytest.mark.parametrize("by", ["z", "change"])
def test_wide_is_what_decoupler_takes(results, by):
    wide = dko.get.affected_genes(results, ["A/B", "gene_7"], as_wide=True, by=by)
    assert wide.shape == (4, 3) and set(map(str, wide.dtypes)) == {"float64"}
    assert set(wide.index) == {f"{gene} ({group})" for gene in ("gene_7", "A/B") for group in ("B", "CD4/CD8 T")}
    for row in dko.get.affected_genes(results, ["A/B", "gene_7"], group=["CD4/CD8 T", "B"]).itertuples():
        assert wide.loc[f"{row.knockout} ({row.group})", row.gene] == np.nan_to_num(getattr(row, by))
    assert wide.loc["gene_7 (B)", "gene_7"] == 0
    del results.uns["dko_affected"]["table"]["group"]
    results.uns["dko_affected"]["table"].drop_duplicates(["knockout", "gene"], inplace=True)
    assert dko.get.affected_genes(results, as_wide=True).index.tolist() == ["A/B", "C+D", "gene_7"]


def test_a_matrix_of_pairs_is_symmetric(results):
    table = dko.get.interactions(results, group="CD4/CD8 T")
    assert table["gene_a"].tolist() == ["b"] and "group" not in table
    found = dko.get.interactions(results, group="B", matrix="interaction")
    assert found.index.tolist() == found.columns.tolist() == ["A/1", "b", "c"]
    np.testing.assert_array_equal(found, [[np.nan, -0.1, 0.2], [-0.1, np.nan, np.nan], [0.2, np.nan, np.nan]])
    classes = dko.get.interactions(results, group="B", matrix="class")
    assert classes.loc["b", "A/1"] == "buffering" and pd.isna(classes.loc["b", "c"])


def test_modules_as_anndata(results, unchanged):
    with unchanged(results):
        found = dko.get.modules(results, as_anndata=True)
        found.X[:] = 7
        found.uns["markers"].iloc[:, -1] = 7.0
    found = dko.get.modules(results, as_anndata=True)
    assert found.obs_names.tolist() == ["C", "A", "B/D", "E"]
    assert found.var_names.tolist() == ["latent_1", "latent_2", "latent_3"]
    np.testing.assert_array_equal(found.X, np.arange(12).reshape(4, 3))
    np.testing.assert_array_equal(found.obsm["X_umap"], [[0, 5], [1, 6], [2, 7], [3, 8]])
    assert found.obs["module"].cat.categories.tolist() == ["1", "2", "no effect"]
    assert found.obs.columns.tolist() == ["perturbation", "module", "strength"]


@pytest.mark.parametrize(
    ("name", "asked", "error", "message"),
    [
        ("affected_genes", {"gene": "gene_70"}, KeyError, "No knockout 'gene_70' in .* Did you mean 'gene_7'"),
        ("affected_genes", {"by": "size"}, ValueError, "by='size' must be"),
        ("clusters", {"what": "sizes"}, ValueError, "what='sizes' must be one of 'markers', 'agreement'"),
        ("identity", {"genes": "D"}, KeyError, "No knockout 'D' in adata.uns.* Run dko.tl.identity_shift for it first"),
        ("interactions", {"group": "b"}, KeyError, "No group 'b' in .* Did you mean 'B'"),
        ("interactions", {"matrix": "z"}, ValueError, r"name it, group=... of 'B', 'CD4/CD8 T'"),
        ("interactions", {"group": "B", "matrix": "zz"}, KeyError, "matrix='zz' must be .*'interaction', 'class'"),
        ("interactions", {"group": "B", "matrix": "downstream_a"}, KeyError, "a column that describes a pair"),
        ("modules", {"what": "agreement"}, KeyError, "was given no groups to compare modules with"),
    ],
)
def test_refusals(name, asked, error, message, results):
    with pytest.raises(error, match=message):
        get(name, results, **asked)


FAST: dict[str, Any] = {"n_bootstraps": 5}


def check(table, adata, rows, of_all=None):
    """Compare with means taken over the cells one by one."""
    of_all = of_all if of_all is not None else (adata.X[rows] > 0).toarray().mean(axis=0)
    counts = adata.X.toarray()[rows]
    share = counts / counts.sum(axis=1, keepdims=True)
    impact, downstream = (adata.layers[f"dko_{kind}"].toarray()[rows] for kind in ("impact", "downstream"))
    for row in table.itertuples():
        g = adata.var_names.get_loc(row.gene)
        expressing = counts[:, g] > 0
        assert row.n_cells == expressing.sum()
        assert row.fraction == pytest.approx(of_all[g])
        assert row.impact_mean == pytest.approx(impact[expressing, g].mean(), rel=1e-5)
        assert row.downstream_mean == pytest.approx(downstream[expressing, g].mean(), rel=1e-5)
        assert row.expression_mean == pytest.approx(share[expressing, g].mean(), rel=1e-5)
    assert (np.diff(table["downstream_mean"]) <= 0).all()


def test_over_all_cells(fitted):
    dko.tl.scan(fitted)
    table = dko.get.ranking(fitted)
    means = ["downstream_mean", "impact_mean", "n_cells", "fraction", "expression_mean"]
    assert table.columns.tolist() == ["gene", *means, "mark"]
    assert set(table["gene"]) == set(fitted.var_names)
    check(table, fitted, np.full(80, True))


def test_per_group_of_the_fit_by_default(grouped):
    dko.tl.scan(grouped)
    table = dko.get.ranking(grouped)
    assert table.equals(dko.get.ranking(grouped, groupby="cell_type"))
    for group in ("B", "CD4/CD8 T"):
        check(table[table["group"] == group], grouped, (grouped.obs["cell_type"] == group).to_numpy())


def test_shares_are_those_of_the_scanned_cells_and_fractions_of_all(fitted):
    dko.tl.scan(fitted, groups=np.arange(80) < 40)
    of_all = (fitted.X > 0).toarray().mean(axis=0)
    check(dko.get.ranking(fitted), fitted[:40].copy(), np.full(40, True), of_all)
    dko.tl.scan(fitted, genes=fitted.var_names[3])
    (row,) = dko.get.ranking(fitted).itertuples()
    assert row.fraction == pytest.approx(of_all[3]) and row.fraction < 1


def test_a_ranking_that_is_not_there(fitted):
    dko.tl.scan(fitted)
    dko.tl.rank_genes(fitted, groupby="cell_type", key_added="by_type", **FAST)
    fitted.uns["other"] = {"table": dko.get.ranking(fitted)}
    for name in ("typo", "other"):
        with pytest.raises(KeyError, match=rf"No ranking in adata.uns\['{name}'\]; run dko.tl.rank_genes"):
            dko.get.ranking(fitted, groupby="cell_type", key_added=name)
    fitted.obs["batch"] = "one"
    with pytest.raises(KeyError, match=r"is of groups of obs\['cell_type'\], not of groups of obs\['batch'\]"):
        dko.get.ranking(fitted, groupby="batch", key_added="by_type")
    assert "pval_adj" not in dko.get.ranking(fitted, groupby="batch")


@pytest.mark.parametrize("where", [None, "by_type"])
def test_the_groups_of_the_ranking_by_default(fitted, where):
    dko.tl.scan(fitted)
    dko.tl.rank_genes(fitted, groupby="cell_type", key_added=where, **FAST)
    table = dko.get.ranking(fitted, key_added=where)
    assert table["group"].nunique() == 2 and "pval_adj" in table
    assert table.equals(dko.get.ranking(fitted, groupby="cell_type", key_added=where))
