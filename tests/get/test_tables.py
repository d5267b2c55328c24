from __future__ import annotations

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
