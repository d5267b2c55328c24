from __future__ import annotations

import numpy as np
import pytest

from dko._engine import knockouts
from dko._fitted import read_fitted, read_presence


def run(adata, cells, **kwargs):
    model = read_fitted(adata, "dko")
    seen = []

    def removals(row, present):
        seen.append((row, present.tolist()))
        return np.array([[0]])

    results = knockouts(
        adata, model, read_presence(adata, model), cells, removals, description="test", device="cpu", **kwargs
    )
    return [row for row, _ in results], seen


@pytest.mark.parametrize("which", ["fitted", "grouped"])
def test_rows_are_those_of_the_anndata(which, request):
    adata = request.getfixturevalue(which)
    cells = np.arange(80) % 7 == 0
    rows, seen = run(adata, cells)
    assert sorted(rows) == np.flatnonzero(cells).tolist()
    assert seen == [(row, np.flatnonzero(adata.X[row].toarray()).tolist()) for row in rows]


def test_batches_need_a_cell(fitted):
    with pytest.raises(ValueError, match="batch_size=0 must be at least 1"):
        run(fitted, np.ones(80, dtype=bool), batch_size=0)
