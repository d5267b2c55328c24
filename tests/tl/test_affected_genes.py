from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.stats import false_discovery_control

import dko
from dko.models.statistics import pair_test

SLASH = "HSPA1A/B"


@pytest.fixture(params=["direct", "total"])
def cells_of(request, _fitted, _total):
    return {"direct": _fitted, "total": _total}[request.param].copy()


def test_change_is_that_of_the_model_and_z_that_of_the_cells(cells_of):
    dko.tl.affected_genes(cells_of, SLASH)
    table = dko.get.affected_genes(cells_of).astype({"gene": str}).set_index("gene")
    assert set(table.index) == set(cells_of.var_names) - {SLASH}
    change = dko.get.effects(cells_of, SLASH).to_df().iloc[0]
    np.testing.assert_allclose(table["change"], change[table.index], rtol=1e-5)
    assert (table["n_cells"] == (cells_of[:, SLASH].X > 0).sum()).all()
    counts = sparse.csr_matrix(cells_of.X)
    z, p_values = (pd.Series(one[0], cells_of.var_names)[table.index] for one in pair_test(counts, np.array([0]), 10))
    np.testing.assert_allclose(table["z"], -z, rtol=1e-5)
    np.testing.assert_allclose(table["pval"], p_values, rtol=1e-5)
    tested = table[table["z"].notna()]
    np.testing.assert_allclose(tested["pval_adj"], false_discovery_control(tested["pval"]))
    assert (np.diff(table["pval"]) >= 0).all()


def test_several_knockouts_and_groups(cells_of):
    dko.tl.affected_genes(cells_of, ["gene_7", SLASH], groupby="cell_type")
    table = dko.get.affected_genes(cells_of)
    assert table.columns[:3].tolist() == ["knockout", "group", "n_cells"]
    one = dko.tl.affected_genes(cells_of, SLASH, groupby="cell_type", groups="CD4/CD8 T", n_others=0, copy=True)
    kept = ["gene", "change", "z", "pval", "pval_adj"]
    both = [dko.get.affected_genes(adata, SLASH, group="CD4/CD8 T")[kept] for adata in (cells_of, one)]
    pd.testing.assert_frame_equal(*both)
    counts = sparse.csr_matrix(cells_of[cells_of.obs["cell_type"] == "CD4/CD8 T"].X)
    z = pd.Series(pair_test(counts, np.array([0]), 10)[0][0], cells_of.var_names)
    np.testing.assert_allclose(both[0]["z"], -z[both[0]["gene"].astype(str)], rtol=1e-5)


def test_earlier_knockouts_stay_unless_they_are_made_again(fitted):
    dko.tl.affected_genes(fitted, ["gene_7", SLASH])
    before = dko.get.affected_genes(fitted, "gene_7")
    dko.tl.affected_genes(fitted, [SLASH, "gene_8"], n_others=0)
    after = dko.get.affected_genes(fitted)
    assert after["knockout"].value_counts().to_dict() == {"gene_7": 19, SLASH: 19, "gene_8": 19}
    pd.testing.assert_frame_equal(dko.get.affected_genes(fitted, "gene_7"), before, check_categorical=False)
    assert dko.get.affected_genes(fitted, SLASH)["others"].isna().all()
    dko.tl.affected_genes(fitted, "gene_8", groupby="cell_type")
    assert dko.get.affected_genes(fitted)["knockout"].unique().tolist() == ["gene_8"]


@pytest.mark.parametrize("n_others", [6, 200])
def test_it_does_not_matter_what_else_is_asked(cells_of, n_others):
    names = list(cells_of.var_names)
    found = []
    for asked in (names, names[5:8], "gene_7"):
        dko.tl.affected_genes(cells_of, asked, n_others=n_others, rng=3)
        found.append(dko.get.affected_genes(cells_of, "gene_7")[["gene", "change", "others", "specific"]])
    pd.testing.assert_frame_equal(found[0], found[2], check_categorical=False)
    pd.testing.assert_frame_equal(found[1], found[2], check_categorical=False)
    everything = dko.get.affected_genes(cells_of)
    assert everything["knockout"].nunique() == 20
    assert everything["others"].notna().all() and everything["specific"].any()


def test_each_is_compared_with_all_that_are_drawn_but_itself(cells_of):
    drawn = list(np.random.default_rng(3).permutation(np.array(sorted(cells_of.var_names), dtype=object))[:6])
    changes = dko.get.effects(cells_of).to_df()
    other = next(name for name in cells_of.var_names if name not in drawn)
    dko.tl.affected_genes(cells_of, [drawn[0], other], n_others=6, rng=3)
    for knockout, gene in ((drawn[0], drawn[1]), (drawn[0], other), (other, drawn[0])):
        change = changes.loc[knockout, gene]
        others = changes.loc[[name for name in drawn if name not in (knockout, gene)], gene]
        table = dko.get.affected_genes(cells_of, knockout).astype({"gene": str}).set_index("gene")
        as_much = (np.sign(change) * others >= abs(change)).mean()
        assert table.loc[gene, "others"] == pytest.approx(as_much, abs=1e-6)


def test_enrichment_of_earlier_rows_is_taken_away(fitted):
    fitted.uns |= {f"{key}_enrichment": {"params": {}, "table": pd.DataFrame()} for key in ("dko", "other")}
    dko.tl.affected_genes(fitted, "gene_7")
    assert "dko_enrichment" not in fitted.uns and "other_enrichment" in fitted.uns


def test_a_gene_that_is_affected_in_several_groups_counts_once(_total, capsys):
    twice = ad.concat([_total] * 4, index_unique="-", uns_merge="same")  # so that all groups find the same
    twice.obs["copy"] = np.repeat(["a", "a", "b", "b"], _total.n_obs)
    capsys.readouterr()
    dko.tl.affected_genes(twice, SLASH, groupby="copy")
    table = dko.get.affected_genes(twice)
    found = table[table["pval_adj"] <= 0.05]
    n = found["gene"].nunique()
    assert 0 < n < len(found)
    assert (
        f"Co-expressed with 'HSPA1A/B': {n} gene{'s' * (n > 1)} (FDR <= 5 %, in any group)" in capsys.readouterr().err
    )
