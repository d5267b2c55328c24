from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

import dko


@pytest.fixture(scope="module")
def _ranked(_scanned):
    adata = _scanned.copy()
    adata.obs["type"] = np.array(["B", "CD4/CD8 T", "NK"])[np.arange(adata.n_obs) % 3]
    dko.tl.rank_genes(adata, groupby="type", n_permutations=20, n_bootstraps=20, min_cells=5)
    return adata


@pytest.fixture
def ranked(_ranked):
    return _ranked.copy()


def shown(ax):
    """Names of rows and columns, and the values."""
    rows, columns = ([text.get_text() for text in labels] for labels in (ax.get_yticklabels(), ax.get_xticklabels()))
    return rows, columns, np.ma.filled(ax.images[0].get_array().astype(float), np.nan)


def expected(adata, rows, columns, value, **kwargs):
    table = dko.get.ranking(adata, **kwargs).astype({"group": str})
    return table.pivot(index="group", columns="gene", values=value).loc[rows, columns].to_numpy(dtype=float)


@pytest.mark.parametrize("value", ["downstream_mean", "impact_mean", "specificity", "fraction"])
def test_values_of_the_ranking_in_their_places(ranked, value):
    ax = dko.pl.heatmap(ranked, value=value, n_genes=3, show=False)
    rows, columns, values = shown(ax)
    assert sorted(rows) == ["B", "CD4/CD8 T", "NK"]
    np.testing.assert_allclose(values, expected(ranked, rows, columns, value, groupby="type"))
    signed = value == "specificity"
    assert (ax.images[0].norm.vmin < 0) == signed
    assert all(text.get_style() == "italic" for text in ax.get_xticklabels())
    assert all(text.get_style() == "normal" for text in ax.get_yticklabels())


def test_the_best_genes_of_each_group_those_with_signal_first(ranked):
    table = ranked.uns["dko_ranking"]["table"]
    table["pval_adj"] = np.where(table["gene"].isin(["gene_7", "gene_9"]), 0.01, 0.5)
    *_, columns, _ = shown(dko.pl.heatmap(ranked, n_genes=2, show=False))
    assert sorted(columns) == ["gene_7", "gene_9"]
    *_, columns, _ = shown(dko.pl.heatmap(ranked, n_genes=3, show=False))
    others = table[~table["gene"].isin(["gene_7", "gene_9"])]
    best = others.sort_values("downstream_mean", ascending=False).groupby("group", observed=True).head(1)["gene"]
    assert set(columns) == {"gene_7", "gene_9", *best}


def test_genes_that_are_named_in_their_order(ranked):
    genes = ["gene_9", "HSPA1A/B", "gene_4"]
    rows, columns, _ = shown(dko.pl.heatmap(ranked, genes, dendrogram=False, show=False))
    assert columns == genes and rows == ["B", "CD4/CD8 T", "NK"]


def test_a_scan_without_ranking_and_the_groups_of_the_fit(scanned_by_group):
    ax = dko.pl.heatmap(scanned_by_group, n_genes=4, show=False)
    rows, columns, values = shown(ax)
    assert sorted(rows) == ["B", "CD4/CD8 T"]
    np.testing.assert_allclose(values, expected(scanned_by_group, rows, columns, "downstream_mean"))
    assert ax.child_axes[-1].get_ylabel() == "mean downstream impact\n(Bray-Curtis, 0 to 1)"


def test_a_ranking_of_another_name(ranked):
    ranked.uns["mine"] = ranked.uns.pop("dko_ranking")
    ax = dko.pl.heatmap(ranked, key_added="mine", show=False)
    assert ax.child_axes[-1].get_ylabel() == "mean downstream impact\n(Bray-Curtis, 0 to 1)"


def test_keywords_and_axes_of_the_user(ranked):
    own = plt.figure().add_subplot()
    assert dko.pl.heatmap(ranked, value="impact_mean", ax=own, vmax=0.5, cmap="cividis", show=False) is own
    assert own.images[0].norm.vmax == 0.5 and own.images[0].get_cmap().name == "cividis"


def test_refusals_are_one_sentence_and_leave_no_figure(scanned, ranked):
    with pytest.raises(ValueError, match=r"groups of cells; name the obs column that has them, groupby="):
        dko.pl.heatmap(scanned)
    with pytest.raises(
        ValueError, match="value='specificity' is not in the ranking; run dko.tl.scan, and dko.tl.rank_genes"
    ):
        dko.pl.heatmap(scanned, groupby="cell_type", value="specificity")
    with pytest.raises(ValueError, match="value='size' must be one of 'downstream_mean', 'impact_mean'"):
        dko.pl.heatmap(ranked, value="size")
    with pytest.raises(KeyError, match="No gene 'gene_99' in the ranking. Did you mean"):
        dko.pl.heatmap(ranked, ["gene_2", "gene_99"])
    with pytest.raises(KeyError, match="No column 'celltype'"):
        dko.pl.heatmap(scanned, groupby="celltype")
    with pytest.raises(ValueError, match="n_genes must be at least 1, got 0"):
        dko.pl.heatmap(ranked, n_genes=0)
    with pytest.raises(ValueError, match="No gene to draw"):
        dko.pl.heatmap(scanned[:5], groupby="cell_type")
    assert not plt.get_fignums()
