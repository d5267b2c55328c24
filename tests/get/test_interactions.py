from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import dko


@pytest.fixture
def interacting(cells):
    """As dko.tl.interactions leaves it, whose tests read its results with the getter."""
    table = pd.DataFrame(
        {
            "group": pd.Categorical(["B", "B", "CD4/CD8 T"]),
            "gene_a": pd.Categorical(["A/1", "A/1", "b"]),
            "gene_b": pd.Categorical(["b", "c", "c"]),
            "downstream_a": [0.1, 0.2, 0.3],
            "interaction": [-0.1, 0.2, -0.3],
            "class": pd.Categorical(["buffering", "additive", "buffering"]),
        }
    )
    cells.uns["dko_interactions"] = {"params": {}, "table": table}
    return cells


def test_table_and_groups(interacting):
    assert len(dko.get.interactions(interacting)) == 3
    table = dko.get.interactions(interacting, group="CD4/CD8 T")
    assert table["gene_a"].tolist() == ["b"] and "group" not in table
    assert table.index.tolist() == [0]


def test_matrix_is_symmetric(interacting):
    found = dko.get.interactions(interacting, group="B", matrix="interaction")
    assert found.index.tolist() == found.columns.tolist() == ["A/1", "b", "c"]
    expected = [[np.nan, -0.1, 0.2], [-0.1, np.nan, np.nan], [0.2, np.nan, np.nan]]
    np.testing.assert_array_equal(found, expected)
    classes = dko.get.interactions(interacting, group="B", matrix="class")
    assert classes.loc["b", "A/1"] == "buffering" and pd.isna(classes.loc["b", "c"])


def test_what_is_given_is_a_copy(interacting, unchanged):
    with unchanged(interacting):
        found = dko.get.interactions(interacting)
        found.iloc[:, 4] = 7.0


def test_refusals(interacting, fitted):
    with pytest.raises(KeyError, match=r"No interactions in adata.uns\['dko_interactions'\]; run dko.tl.interactions"):
        dko.get.interactions(fitted)
    with pytest.raises(KeyError, match="No group 'b' in the interactions 'dko'. Did you mean 'B'"):
        dko.get.interactions(interacting, group="b")
    with pytest.raises(ValueError, match=r"name it, group=... of 'B', 'CD4/CD8 T'"):
        dko.get.interactions(interacting, matrix="interaction")
    with pytest.raises(KeyError, match="matrix='zz' must be .*'interaction', 'class'"):
        dko.get.interactions(interacting, group="B", matrix="zz")
    with pytest.raises(ValueError, match="matrix='downstream_a' must be what belongs to a pair"):
        dko.get.interactions(interacting, group="B", matrix="downstream_a")
