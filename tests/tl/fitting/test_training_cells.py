from __future__ import annotations

import numpy as np

from dko.tl.fitting._training_cells import training_cells


def test_all_cells_in_one(cells):
    found = training_cells(cells, None, None, None)
    assert {name: rows.tolist() for name, rows in found.items()} == {"": list(range(80))}


def test_unperturbed_cells_of_each_group(cells, caplog):
    cells.obs["guide"] = ["control"] * 20 + ["KO"] * 60
    cells.obs["kind"] = np.repeat(["a", "b", "c"], [12, 5, 63])
    found = training_cells(cells, "kind", "guide", "control")
    assert {name: rows.tolist() for name, rows in found.items()} == {"a": list(range(12)), "b": list(range(12, 17))}
    assert caplog.messages == ["Groups of fewer than 5 cells get no model: 'c'."]
