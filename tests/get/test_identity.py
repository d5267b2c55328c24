from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import dko


@pytest.fixture
def shifts():
    """As dko.tl.identity_shift leaves it, whose tests read its results with the getter."""
    table = pd.DataFrame(
        {
            "knockout": np.repeat(["B", "A/B", "A+C"], 2),
            "group": "T",
            "type": ["T", "NK"] * 3,
            "change": [0.1, -0.2, 0.3, 0.0, 0.1, 0.2],
            "length": np.repeat([1.0, 2.0, 3.0], 2),
            "n_cells": 7,
        }
    )
    return AnnData(np.ones((1, 1), dtype=np.float32), uns={"dko_identity": {"table": table}})


def test_all_by_default(shifts):
    pd.testing.assert_frame_equal(dko.get.identity(shifts), shifts.uns["dko_identity"]["table"])


def test_chosen_ones_in_the_order_asked(shifts):
    found = dko.get.identity(shifts, [("C", "A"), "B"])
    assert found["knockout"].tolist() == ["A+C", "A+C", "B", "B"]
    assert found["change"].tolist() == [0.1, 0.2, 0.1, -0.2]
    assert found.index.tolist() == [0, 1, 2, 3]
    assert dko.get.identity(shifts, "A/B")["length"].tolist() == [2.0, 2.0]


def test_a_change_of_the_table_stays_with_the_caller(shifts):
    for knockout in (None, "B"):
        table = dko.get.identity(shifts, knockout)
        table["change"] = 0.0
    assert dko.get.identity(shifts)["change"].abs().sum() > 0


def test_refusals(shifts):
    with pytest.raises(KeyError, match=r"No shifts in adata.uns\['mine_identity'\]; run dko.tl.identity_shift"):
        dko.get.identity(shifts, key="mine")
    with pytest.raises(KeyError, match="No knockout 'D' in adata.uns.* Run dko.tl.identity_shift for it first"):
        dko.get.identity(shifts, "D")
