from __future__ import annotations

import pandas as pd
import pytest
from anndata import AnnData

from dko._core.knockouts import columns_of, knockout_sets

GENES = ["A", "B", "C", "D"]


@pytest.mark.parametrize(
    ("genes", "expected"),
    [
        ("A", {"A": ["A"]}),
        (["B", "A"], {"B": ["B"], "A": ["A"]}),
        (("B", "A"), {"A+B": ["A", "B"]}),
        ([("B", "A"), "C"], {"A+B": ["A", "B"], "C": ["C"]}),
        (["A", "A"], {"A": ["A"]}),
        ([("A", "B"), ("B", "A")], {"A+B": ["A", "B"]}),
        ([["C", "A", "C"]], {"A+C": ["A", "C"]}),
        (pd.Index(["A", "B"]), {"A": ["A"], "B": ["B"]}),
    ],
    ids=repr,
)
def test_what_may_be_said(genes, expected):
    assert knockout_sets(genes, GENES, AnnData(var=pd.DataFrame(index=GENES))) == expected


def test_columns_are_padded():
    assert columns_of({"D": ["D"], "A+B+C": ["A", "B", "C"]}, GENES).tolist() == [[3, -1, -1], [0, 1, 2]]
