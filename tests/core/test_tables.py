"""Tables that people read: how numbers are spelled, what is sorted by, and the same in a terminal."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dko._core.tables import Column, spelling, table_of


@pytest.mark.parametrize(
    ("kind", "values", "spelled"),
    [
        ("number", [0.1169, 0.0993, 0.0001], ["0.117", "0.099", "0.000"]),
        ("number", [0.15, 0.0071, 0.0012, 0.0033, 0.0041], ["0.1500", "0.0071", "0.0012", "0.0033", "0.0041"]),
        ("number", [12345.6, 2.0, 30000.0], ["12,346", "2", "30,000"]),
        ("number", [0.0, 0.0], ["0", "0"]),
        ("signed", [1.234, -0.5, 0.001], ["+1.23", "-0.50", "0.00"]),
        ("number", [1.0, -0.0004], ["1.00", "0.00"]),
        ("count", [12345, 3], ["12,345", "3"]),
        ("percent", [0.0, 0.004, 0.456, 1.0], ["0 %", "0.4 %", "46 %", "100 %"]),
        ("p", [0.04, 0.001, 0.0004, 0.0, 1.0, 3e-305], ["0.040", "0.001", "4e-04", "0", "1.000", "3e-305"]),
    ],
)
def test_numbers_of_a_column_have_sensible_digits(kind, values, spelled):
    spell = spelling(kind, np.array(values, dtype=float))
    assert [spell(value) for value in values] == spelled


def test_a_table_has_the_columns_that_are_there():
    frame = pd.DataFrame({"gene": ["A", "B", "C"], "mean": [0.5, np.nan, np.inf], "unknown": np.nan})
    frame = frame.assign(low=[0.4, 0.1, np.nan], high=[0.6, 0.2, np.nan])
    columns = (
        *(Column("gene", "gene", "gene"), Column("gone", "gone"), Column("mean", "mean", note="of all")),
        *(Column("low", "interval", "interval", upper="high", brief=False), Column("unknown", "unknown")),
    )
    found = table_of(frame, columns, "Numbers")
    assert [column.label for column in found.columns] == ["gene", "mean", "interval"]
    cells = [[cell.text for cell in row] for row in found.rows]
    assert cells == [["A", "0.500", "0.400 to 0.600"], ["B", "", "0.100 to 0.200"], ["C", "", ""]]
    assert [row[2].value for row in found.rows] == ["0.4", "0.1", ""]
    assert found.notes == "mean: of all"
    assert found.brief.as_text().splitlines() == ["gene   mean", "A     0.500", "B", "C"]
