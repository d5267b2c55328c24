from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dko

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
