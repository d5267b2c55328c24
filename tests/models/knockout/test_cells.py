from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import dko
from dko.models.knockout import AffineMap
from dko.models.knockout._cells import all_cells, by_prevalence, chunks, inverse, rows_of, weighted_sums
from dko.models.knockout._panels import Panels


@pytest.mark.parametrize("budget", [1, 5_000_000, 2**28])
def test_sums_of_large_cells_are_accurate_to_a_millionth(budget):
    rng, n = np.random.default_rng(0), 5_000
    influence = np.zeros((n, n), dtype=np.float32)
    some = rng.choice(n, 100, replace=False)
    # Sums that do not cancel, of numbers that float32 rounds.
    influence[some] = rng.uniform(0, 1, (100, n))
    affine = AffineMap(influence, np.zeros(n, dtype=np.float32))
    presence = sparse.csr_matrix((rng.random((2, n)) < 0.95).astype(np.float32))
    with dko.settings.override(memory_budget=budget):
        order = by_prevalence(presence)
        sums = weighted_sums(presence, order, Panels(affine, "rows", order, n))
    expected = (influence.astype(float) @ presence.toarray().T).T[presence.toarray() > 0]
    np.testing.assert_allclose(sums, expected, rtol=1e-6)


def test_all_cells(make_map, make_presence):
    rng = np.random.default_rng(0)
    affine, presence = make_map(30, rng), make_presence(20, 30, 0.5, rng)
    cells = all_cells(affine, presence)
    rows = presence.toarray()
    expected = (rows @ affine.influence.T.astype(float))[rows > 0]
    np.testing.assert_allclose(cells.sums, expected, atol=1e-4)
    assert not cells.observed and cells.intercept is affine.intercept
    assert cells.row(np.arange(presence.nnz)).tolist() == np.nonzero(rows)[0].tolist()


def test_rows_of(make_presence):
    presence = make_presence(9, 12, 0.5, np.random.default_rng(0))
    entries, indptr, indices = rows_of(presence, slice(3, 7))
    some = sparse.csr_matrix((presence.data[entries], indices, indptr), (4, 12))
    np.testing.assert_array_equal(some.toarray(), presence.toarray()[3:7])


def test_genes_that_many_cells_have_come_first():
    presence = sparse.csr_matrix(np.array([[1, 0, 1, 0], [0, 0, 1, 0], [1, 0, 1, 1]], dtype=np.float32))
    assert by_prevalence(presence).tolist() == [2, 0, 3, 1]
    assert by_prevalence(presence, np.array([False, True, False, True])).tolist() == [3, 1, 2, 0]


def test_inverse():
    order = np.random.default_rng(0).permutation(9)
    assert order[inverse(order)].tolist() == list(range(9))


@pytest.mark.parametrize("n_genes", [1, 100, 2_000])
@pytest.mark.parametrize("n_cells", [0, 1, 7, 128, 1_000])
def test_chunks_cover_all_cells(n_cells, n_genes):
    pieces = chunks(sparse.csr_matrix(np.ones((n_cells, n_genes), dtype=np.float32)))
    assert [cell for piece in pieces for cell in range(piece.start, piece.stop)] == list(range(n_cells))
    assert all(0 < piece.stop - piece.start <= max(1, 65_536 // n_genes) for piece in pieces)
