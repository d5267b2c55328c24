from __future__ import annotations

import pandas as pd
import pytest

from dko._core.fitted import apart, as_read, best_loss, together

CURVES = {
    name: pd.DataFrame({"step": [10, 20], "validation_loss": losses})
    for name, losses in (("b", [3.0, 1.0]), ("a", [2.0, 4.0]))
}


@pytest.mark.parametrize(("column", "names"), [("group", ["b", "a"]), ("member", ["member b", "member a"])])
def test_together_and_apart(column, names):
    table = together(CURVES, column)
    assert list(table.columns) == [column, "step", "validation_loss"]
    assert isinstance(table[column].dtype, pd.CategoricalDtype)
    found = apart(table)
    assert list(found) == names
    assert list(found[names[0]]["validation_loss"]) == [3.0, 1.0]
    assert best_loss(table) == 1.5
    pd.testing.assert_frame_equal(as_read(table.astype({column: str})), table)


def test_one_model():
    table = CURVES["a"]
    assert list(apart(table)) == [""] and best_loss(table) == 2.0
    assert as_read(table).equals(table)
