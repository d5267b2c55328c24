from __future__ import annotations

import numpy as np
import pytest

from dko._core.knockouts import open_task
from dko.models.knockout import AffineMap


@pytest.mark.parametrize("batch_size", [None, 1, 7, 80, 200])
@pytest.mark.parametrize("which", ["fitted", "grouped"])
def test_parts_are_the_chosen_cells_each_with_its_model(which, batch_size, request):
    adata = request.getfixturevalue(which)
    chosen = np.arange(80) % 7 == 0
    task = open_task(adata, "dko", "rna", chosen)
    seen = []
    for first, block in task.blocks(batch_size):
        for affine, rows, presence, entries in task.parts(block, first):
            np.testing.assert_array_equal(block.indices[entries], presence.indices)
            np.testing.assert_array_equal(presence.toarray(), adata.X[first + rows].toarray() > 0)
            for row in first + rows:
                number = 0 if which == "fitted" else list(task.fitted.groups).index(adata.obs["cell_type"].iloc[row])
                assert isinstance(affine, AffineMap)
                np.testing.assert_array_equal(affine.intercept, task.fitted.affine(number).intercept)
                seen.append(row)
    assert sorted(seen) == np.flatnonzero(chosen).tolist()


def test_only_some_cells_of_the_task(fitted):
    task = open_task(fitted, "dko", "rna", np.arange(80) < 40)
    (_, rows, *_), *more = task.parts(task.presence, cells=np.arange(80) >= 30)
    assert rows.tolist() == list(range(30, 40)) and not more


def test_batches_need_a_cell(fitted):
    with pytest.raises(ValueError, match="batch_size=0 must be at least 1"):
        list(open_task(fitted, "dko", "rna").blocks(0))
