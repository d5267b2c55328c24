from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from dko import settings
from dko.models._batches import loader, rows_on

CPU = torch.device("cpu")


@pytest.fixture
def matrix():
    rows = np.random.default_rng(0).random((10, 5)).astype(np.float32)
    rows[rows < 0.5] = 0
    rows[3] = 0
    return sparse.csr_matrix(rows)


@pytest.mark.parametrize("memory_budget", [1, 10**6])
@pytest.mark.parametrize("rows", [[], [3], [9, 0, 3, 3]])
def test_rows(matrix, rows, memory_budget):
    with settings.override(memory_budget=memory_budget):
        found = rows_on(matrix, CPU)(np.array(rows, dtype=int))
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found, matrix.toarray()[rows])


@pytest.mark.parametrize("memory_budget", [1, 10**6])
@pytest.mark.parametrize("batch_size", [1, 4, 10, 100])
def test_loader_gives_the_same_within_and_beyond_the_memory_budget(matrix, batch_size, memory_budget):
    order = np.random.default_rng(1).permutation(10)[:7]
    with settings.override(memory_budget=memory_budget):
        load = loader(matrix, batch_size, CPU)
        for _ in range(2):
            for rows in (None, order):
                parts = list(load(rows))
                expected = matrix.toarray() if rows is None else matrix.toarray()[rows]
                assert [len(part) for part in parts[:-1]] == [batch_size] * (len(parts) - 1)
                np.testing.assert_array_equal(torch.cat(parts), expected)
