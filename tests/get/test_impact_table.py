from __future__ import annotations

import numpy as np

import dko


def test_rows_of_the_reference(fitted):
    dko.tl.scan(fitted, genes=["gene_2", "HSPA1A/B"])
    table = dko.get.impact_table(fitted)
    assert table.columns.tolist() == ["gene_id", "cell_id", "impact"]
    assert table["impact"].dtype == np.float32
    cells = fitted.obs_names.get_indexer(table["cell_id"])
    assert (np.diff(cells) >= 0).all()
    wide = table.pivot(index="cell_id", columns="gene_id", values="impact")
    expected = dko.get.impact(fitted)
    np.testing.assert_array_equal(wide.reindex(expected.index)[expected.columns], expected)
