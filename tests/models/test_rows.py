from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

import dko
from dko.models.rows import StoredRows, View, blocks_of, mean_of, sizes_of


def matrix(n_cells, n_genes, seed):
    rng = np.random.default_rng(seed)
    return sparse.csr_matrix(rng.poisson(0.4, size=(n_cells, n_genes)).astype(np.float32))


def stored(values, n_blocks):
    found = StoredRows(values.shape[1])
    for rows in np.array_split(np.arange(values.shape[0]), n_blocks):
        found.append(values[rows])
    return found


@given(data=st.data(), n_cells=st.integers(1, 30), n_genes=st.integers(1, 12), n_blocks=st.integers(1, 4))
def test_stored_rows_are_those_of_memory(data, n_cells, n_genes, n_blocks):
    values = matrix(n_cells, n_genes, seed=n_cells)
    found, rows = stored(values, n_blocks), st.lists(st.integers(0, n_cells - 1), max_size=40)
    for some in (slice(None), slice(1, -1), slice(None, None, 2), np.array(data.draw(rows), dtype=int)):
        assert (found[some] != values[some]).nnz == 0
        assert found[some].dtype == np.float32 and found[some].has_sorted_indices
    assert found.shape == values.shape
    np.testing.assert_array_equal(sizes_of(found), sizes_of(values))


def test_threads_read_at_once():
    values = matrix(200, 50, seed=0)
    found, rng = stored(values, 3), np.random.default_rng(0)
    orders = [rng.permutation(200) for _ in range(40)]
    with ThreadPoolExecutor(8) as pool:
        for order, some in zip(orders, pool.map(found.__getitem__, orders), strict=True):
            assert (some != values[order]).nnz == 0


@pytest.mark.parametrize("budget", [1, 10_000, 2**28])
def test_blocks_of_a_view_are_its_rows(budget):
    values, rows = matrix(60, 9, seed=1), np.array([50, 3, 3, 59, 0])
    view = View(stored(values, 2), rows, lambda block: block * 2)
    with dko.settings.override(memory_budget=budget):
        blocks = list(blocks_of(view, 64))
        mean = mean_of(view)
    assert len(blocks) == (5 if budget == 1 else 1)
    for some, block in blocks:
        assert (block != 2 * values[rows[some]]).nnz == 0
    np.testing.assert_allclose(mean, 2 * values[rows].toarray().mean(axis=0), rtol=1e-6)


def test_a_full_folder_is_named():
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    rows = StoredRows(50)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))
        with pytest.raises(OSError, match=r"scratch file, and .* has no room .* set the environment variable TMPDIR"):
            rows.append(matrix(100, 50, seed=0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
