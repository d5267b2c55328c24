from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dko.datasets import grn, grn_impact, grn_knockout


@pytest.mark.parametrize("genes", ["gene_3", ["gene_0", "gene_7", "gene_11"]])
def test_agrees_with_integration_in_time(cells, genes, integrate):
    network = cells.varp["network"].toarray()
    truth, production = cells.layers["truth"].toarray(), cells.layers["production"].toarray()
    profiles = grn_knockout(cells, genes, cells=["cell_0", "cell_1", "cell_2"]).toarray()
    for cell in range(3):
        presence = (truth[cell] > 0) & ~cells.var_names.isin(np.atleast_1d(genes))
        x = integrate(presence, network, production=production[cell], start=np.where(presence, truth[cell], 0))
        np.testing.assert_allclose(profiles[cell], x / x.sum(), rtol=1e-5, atol=1e-6)


@given(genes=st.lists(st.sampled_from([f"gene_{i}" for i in range(20)]), unique=True, max_size=8), seed=st.randoms())
@settings(max_examples=30, deadline=None)
def test_profiles_sum_to_one_without_the_genes_in_any_order(cells, genes, seed, integrate):
    profiles = grn_knockout(cells, genes)
    total = profiles.sum(axis=1)
    np.testing.assert_allclose(total[total > 0], 1, rtol=1e-12)
    for cell in np.flatnonzero(total == 0):  # Rare: the few genes left cannot keep each other alive.
        presence = (cells.layers["truth"][[cell]].toarray()[0] > 0) & ~cells.var_names.isin(genes)
        production = cells.layers["production"][[cell]].toarray()[0]
        assert integrate(presence, cells.varp["network"].toarray(), production=production).sum() < 1e-5
    assert not profiles[:, cells.var_names.get_indexer(genes)].nnz
    shuffled = seed.sample(genes, len(genes))
    np.testing.assert_array_equal(grn_knockout(cells, shuffled).toarray(), profiles.toarray())


@given(number=st.integers(0, 19))
@settings(deadline=None)
def test_absent_gene_changes_nothing(cells, number):
    absent = cells.layers["truth"][:, [number]].toarray().ravel() == 0
    before, after = grn_knockout(cells, []), grn_knockout(cells, f"gene_{number}")
    np.testing.assert_array_equal(before[absent].toarray(), after[absent].toarray())
    assert (before[~absent].toarray() != after[~absent].toarray()).any(axis=1).all()


def test_all_but_one_gene():
    """The last gene stays only where it produces itself."""
    network = np.array([[4.0, 1.0], [1.0, 0.0]])
    adata = grn(2, network=network, share_present=1.0)
    assert grn_knockout(adata, "gene_1").toarray().tolist() == [[1.0, 0.0]] * 2
    assert grn_knockout(adata, "gene_0").nnz == 0


@pytest.mark.parametrize("which", ["cells", "typed"])
def test_subset_of_cells_genes_reordered_and_round_trip(which, request, tmp_path):
    cells = request.getfixturevalue(which)
    expected = grn_knockout(cells, "gene_5").toarray()
    part = cells[[9, 4], np.arange(cells.n_vars)[::-1]]
    np.testing.assert_allclose(grn_knockout(part, "gene_5").toarray(), expected[[9, 4], ::-1], rtol=1e-6)
    cells.write_h5ad(tmp_path / "cells.h5ad")
    back = ad.read_h5ad(tmp_path / "cells.h5ad")
    np.testing.assert_array_equal(grn_knockout(back, "gene_5").toarray(), expected)


def test_impacts_agree_with_one_knockout_after_the_other(cells):
    impact = grn_impact(cells)
    before = grn_knockout(cells, []).toarray()
    expected = np.zeros(cells.shape)
    for j, gene in enumerate(cells.var_names):
        expected[:, j] = 0.5 * np.abs(grn_knockout(cells, gene).toarray() - before).sum(axis=1)
    np.testing.assert_allclose(impact.toarray(), expected, atol=1e-8)


def test_impact_is_one_where_no_gene_is_left():
    adata = grn(1, network=np.array([[0.0, -1.0], [-1.0, 0.0]]), share_present=1.0)
    assert grn_impact(adata).toarray().tolist() == [[1.0, 1.0]]
