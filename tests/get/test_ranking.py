from __future__ import annotations

import numpy as np
import pytest

import dko


def check(table, adata, rows, of_all=None):
    """Compare with means taken over the cells one by one."""
    of_all = of_all if of_all is not None else (adata.X[rows] > 0).toarray().mean(axis=0)
    counts = adata.X.toarray()[rows]
    share = counts / counts.sum(axis=1, keepdims=True)
    impact = adata.layers["dko_impact"].toarray()[rows]
    for row in table.itertuples():
        g = adata.var_names.get_loc(row.gene)
        expressing = counts[:, g] > 0
        assert row.n_cells == expressing.sum()
        assert row.fraction == pytest.approx(of_all[g])
        assert row.impact_mean == pytest.approx(impact[expressing, g].mean(), rel=1e-5)
        assert row.expression_mean == pytest.approx(share[expressing, g].mean(), rel=1e-5)
    assert (np.diff(table["impact_mean"]) <= 0).all()


def test_over_all_cells(fitted):
    dko.tl.scan(fitted)
    table = dko.get.ranking(fitted)
    assert table.columns.tolist() == ["gene", "impact_mean", "n_cells", "fraction", "expression_mean"]
    assert set(table["gene"]) == set(fitted.var_names)
    check(table, fitted, np.full(80, True))


def test_per_group_of_the_fit_by_default(grouped):
    dko.tl.scan(grouped)
    table = dko.get.ranking(grouped)
    assert table.equals(dko.get.ranking(grouped, groupby="cell_type"))
    for group in ("B", "CD4/CD8 T"):
        check(table[table["group"] == group], grouped, (grouped.obs["cell_type"] == group).to_numpy())


def test_genes_that_few_cells_express_are_left_out(fitted):
    dko.tl.scan(fitted)
    n_cells = dko.get.ranking(fitted, min_cells=1).set_index("gene")["n_cells"]
    limit = int(n_cells.median())
    assert set(dko.get.ranking(fitted, min_cells=limit)["gene"]) == set(n_cells.index[n_cells >= limit])


def test_shares_are_those_of_the_scanned_cells(fitted):
    dko.tl.scan(fitted, groups=np.arange(80) < 40)
    of_all = (fitted.X > 0).toarray().mean(axis=0)
    check(dko.get.ranking(fitted), fitted[:40].copy(), np.full(40, True), of_all)


def test_fraction_is_of_all_cells_also_when_one_gene_was_scanned(fitted):
    dko.tl.scan(fitted, genes=fitted.var_names[3])
    (row,) = dko.get.ranking(fitted).itertuples()
    assert row.fraction == pytest.approx((fitted.X[:, 3] > 0).mean()) and row.fraction < 1
