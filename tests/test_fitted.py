from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from dko._fitted import aligned_layer, gene_columns, group_values, models_and_cells, read_fitted, select_cells


def test_genes_are_found_wherever_they_are(fitted):
    model = read_fitted(fitted, "dko")
    assert gene_columns(fitted, model).tolist() == list(range(20))
    assert gene_columns(fitted[:, ::-1], model).tolist() == list(range(20))[::-1]


def test_cells_go_to_the_model_of_their_group(grouped):
    grouped.obs["cell_type"] = grouped.obs["cell_type"].cat.add_categories("new")
    grouped.obs.iloc[0, grouped.obs.columns.get_loc("cell_type")] = "new"
    grouped.obs.iloc[1, grouped.obs.columns.get_loc("cell_type")] = np.nan
    chosen = np.arange(80) < 10
    found = dict(models_and_cells(grouped, read_fitted(grouped, "dko"), chosen))
    assert {number: rows.tolist() for number, rows in found.items()} == {0: [2, 4, 6, 8], 1: [3, 5, 7, 9]}


def test_missing_groups_stay_missing(cells):
    cells.obs["kind"] = [1.5, None] * 40
    values = group_values(cells, "kind")
    assert values.isna().tolist() == [False, True] * 40
    assert values.dropna().unique().tolist() == ["1.5"]


def test_columns_are_combined(cells):
    cells.obs["half"] = ["a"] * 40 + ["b"] * 40
    mask = select_cells(cells, None, {"cell_type": ["B"], "half": "b"})
    assert np.flatnonzero(mask).tolist() == list(range(40, 80, 2))


@pytest.mark.parametrize("names", ["B", ["B"], ("B",), pd.Index(["B"])], ids=["str", "list", "tuple", "index"])
def test_names_mean_groups_of_the_fit(names, cells):
    assert select_cells(cells, "cell_type", names).tolist() == [True, False] * 40


def test_values_go_to_their_columns():
    presence = sparse.csr_matrix(np.array([[1, 1, 1], [0, 0, 0], [0, 1, 1]], dtype=np.float32))
    values = np.array([0.1, np.nan, 0.3, 0.5, 0.0], dtype=np.float32)
    layer = aligned_layer(values, presence, np.array([4, 0, 2]), 5)
    assert layer.shape == (3, 5) and layer.nnz == 4
    np.testing.assert_allclose(layer.toarray(), np.array([[0, 0, 0.3, 0, 0.1], [0, 0, 0, 0, 0], [0.5, 0, 0, 0, 0]]))
    assert layer.indices.tolist() == [2, 4, 0, 2]


def test_a_mask_finds_its_cells_by_name(cells):
    mask = pd.Series(np.arange(cells.n_obs) < 10, index=cells.obs_names)
    for groups in (mask, mask[::-1], mask[::-1].astype("boolean"), list(mask)):
        np.testing.assert_array_equal(select_cells(cells, None, groups), np.arange(cells.n_obs) < 10)
    with pytest.raises(ValueError, match="one boolean per cell"):
        select_cells(cells, None, mask[:5])
