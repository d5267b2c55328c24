from __future__ import annotations

import numpy as np
import pytest

from dko._engine import open_task


def run(adata, groups, **kwargs):
    seen = []

    def removals(row, present):
        seen.append((row, present.tolist()))
        return np.array([[0]])

    results = open_task(adata, "dko", "rna", groups).knockouts(removals, description="test", device="cpu", **kwargs)
    return [row for row, _ in results], seen


@pytest.mark.parametrize("which", ["fitted", "grouped"])
def test_rows_are_those_of_the_anndata(which, request):
    adata = request.getfixturevalue(which)
    cells = np.arange(80) % 7 == 0
    rows, seen = run(adata, cells)
    assert sorted(rows) == np.flatnonzero(cells).tolist()
    assert seen == [(row, np.flatnonzero(adata.X[row].toarray()).tolist()) for row in rows]


def test_only_some_cells_of_the_task(fitted):
    rows, _ = run(fitted, np.arange(80) < 40, cells=np.arange(80) >= 30)
    assert rows == list(range(30, 40))


def test_batches_need_a_cell(fitted):
    with pytest.raises(ValueError, match="batch_size=0 must be at least 1"):
        run(fitted, np.ones(80, dtype=bool), batch_size=0)
