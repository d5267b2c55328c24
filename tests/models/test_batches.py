from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from dko import settings
from dko.models._batches import batches, dense_rows, loader

CPU = torch.device("cpu")


@pytest.fixture
def matrix():
    rows = np.random.default_rng(0).random((10, 5)).astype(np.float32)
    rows[rows < 0.5] = 0
    rows[3] = 0
    return sparse.csr_matrix(rows)


@pytest.mark.parametrize(("start", "stop"), [(0, 10), (3, 4), (2, 7), (5, 5)])
def test_dense_rows(matrix, start, stop):
    rows = dense_rows(matrix, start, stop, CPU)
    assert rows.dtype == torch.float32
    np.testing.assert_array_equal(rows, matrix.toarray()[start:stop])


@pytest.mark.parametrize("batch_size", [1, 3, 5, 10, 100])
def test_batches_cover_all_rows_in_order(matrix, batch_size):
    parts = list(batches(matrix, batch_size, CPU))
    assert max(len(part) for part in parts) == min(batch_size, 10)
    np.testing.assert_array_equal(torch.cat(parts), matrix.toarray())


def test_batches_follow_the_given_order(matrix):
    order = np.random.default_rng(1).permutation(10)
    np.testing.assert_array_equal(torch.cat(list(batches(matrix, 4, CPU, order))), matrix.toarray()[order])


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
