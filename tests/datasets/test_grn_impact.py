from __future__ import annotations

import time

import numpy as np
import pytest

from dko.datasets import grn, grn_impact, grn_knockout


def test_agrees_with_one_knockout_after_the_other(cells):
    impact = grn_impact(cells)
    before = grn_knockout(cells, []).toarray()
    expected = np.zeros(cells.shape)
    for j, gene in enumerate(cells.var_names):
        expected[:, j] = 0.5 * np.abs(grn_knockout(cells, gene).toarray() - before).sum(axis=1)
    np.testing.assert_allclose(impact.toarray(), expected, atol=1e-8)


def test_lies_on_the_pattern_of_the_truth(cells):
    impact, truth = grn_impact(cells), cells.layers["truth"]
    np.testing.assert_array_equal(impact.indices, truth.indices)
    np.testing.assert_array_equal(impact.indptr, truth.indptr)
    assert impact.data.min() > 0 and impact.data.max() <= 1


def test_is_one_where_no_gene_is_left():
    adata = grn(1, network=np.array([[0.0, -1.0], [-1.0, 0.0]]), share_present=1.0)
    assert grn_impact(adata).toarray().tolist() == [[1.0, 1.0]]


def test_all_knockouts_of_500_cells_and_100_genes_take_seconds():
    adata = grn()
    began = time.perf_counter()
    impact = grn_impact(adata)
    assert time.perf_counter() - began < 10
    assert impact.nnz == pytest.approx(40_000, rel=0.02)
