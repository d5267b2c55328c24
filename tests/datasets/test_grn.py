from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from dko.datasets import grn, grn_impact, grn_knockout

from .conftest import integrate


def test_truth_agrees_with_integration_in_time(cells):
    network = cells.varp["network"].toarray()
    truth, production = cells.layers["truth"].toarray(), cells.layers["production"].toarray()
    assert ((truth > 0) == (production > 0)).all()
    for cell in range(3):
        expected = integrate(truth[cell] > 0, network, production=production[cell])
        np.testing.assert_allclose(truth[cell], expected, rtol=1e-5)


def test_counts_have_the_depth_asked_for():
    adata = grn(400, 50, depth=1_000, rng=2)
    totals = np.asarray(adata.X.sum(axis=1)).ravel()
    assert totals.mean() == pytest.approx(1_000, abs=4 * np.sqrt(1_000 / 400))
    assert totals.var() == pytest.approx(1_000, rel=0.3)
    assert (adata.X.data == np.rint(adata.X.data)).all() and (adata.X.data > 0).all()
    truth = adata.layers["truth"].toarray()
    expected = (1_000 * truth / truth.sum(axis=1, keepdims=True)).sum(axis=0)
    np.testing.assert_allclose(np.asarray(adata.X.sum(axis=0)).ravel(), expected, atol=5 * np.sqrt(expected.max()))


def test_noise_is_log_normal_of_mean_one():
    adata = grn(400, 50, noise=0.5, rng=0)
    ratio = adata.X.data / adata.layers["truth"].data
    assert np.log(ratio).std() == pytest.approx(0.5, abs=0.01)
    assert ratio.mean() == pytest.approx(1, abs=0.02)


def test_default_network_has_the_density_signs_and_weights_asked_for():
    network = grn(2, 300, density=0.1, repression_share=0.3).varp["network"]
    assert network.nnz / (300 * 299) == pytest.approx(0.1, rel=0.03)
    assert (network.data < 0).mean() == pytest.approx(0.3, abs=0.02)
    sizes = np.abs(network.data)
    assert 0 < sizes.min() < 0.01 and 0.99 < sizes.max() <= 1 and sizes.mean() == pytest.approx(0.5, abs=0.01)
    full = grn(2, 7, density=1.0, repression_share=1.0).varp["network"].toarray()
    assert ((full < 0) == ~np.eye(7, dtype=bool)).all()


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.coo_array, np.ndarray.tolist])
def test_networks_are_dense_or_sparse_or_named(form):
    matrix = np.array([[0.0, 2.0], [-1.0, 0.5]])
    assert grn(2, network=form(matrix), share_present=1.0).varp["network"].toarray().tolist() == matrix.tolist()
    frame = pd.DataFrame(matrix[:, ::-1], index=["A", "B"], columns=["B", "A"])
    adata = grn(2, network=frame, share_present=1.0)
    assert list(adata.var_names) == ["A", "B"] and adata.varp["network"].toarray().tolist() == matrix.tolist()


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        # Nothing produces gene 0, so it dies out and represses nothing; then the same of gene 1, and so on.
        ([[0, -2, 0, 0, 0], [0, 0, -1, 0, 0], [0] * 5, [0, 0, 0, 0, -1], [0, 0, 0, -1, 0]], [0, 0, 0, 1, 1]),
        # x = 3 x / (1 + x): activation that lasts; at 0.9 instead of 3 it would die out.
        ([[0, 3, 0], [3, 0, 0], [0, 0, 0.9]], [2, 2, 0]),
    ],
)
def test_genes_that_nothing_keeps_alive_are_left_out(network, expected):
    truth = grn(1, network=np.array(network, dtype=float), share_present=1.0).layers["truth"].toarray()[0]
    assert ((truth > 0) == (np.array(expected) > 0)).all()
    if 2 in expected:
        np.testing.assert_allclose(truth, expected)


def test_many_cells_are_solved_as_each_one_alone():
    """More cells than are solved or iterated together, with a sparse network."""
    adata = grn(1_100, 60, density=0.02, repression_share=1.0, heterogeneity=0.1, share_present=(0.5, 1.0))
    network = adata.varp["network"].toarray()
    truth, factors = (adata.layers[name][[0, 1_050]].toarray() for name in ("truth", "production"))
    for x, production in zip(truth, factors, strict=True):
        np.testing.assert_allclose(x, integrate(x > 0, network, production=production), rtol=1e-5, atol=1e-6)


def test_cells_that_do_not_settle_are_counted(monkeypatch):
    monkeypatch.setattr("dko.datasets._dynamics.MAX_ITERATIONS", 3)
    with pytest.raises(RuntimeError, match="2 of 2 cells did not settle in 3 iterations"):
        grn(2, network=np.array([[0.0, 3.0], [3.0, 0.0]]), share_present=1.0)


@pytest.mark.parametrize("genes", ["gene_3", ["gene_0", "gene_7", "gene_11"]])
def test_agrees_with_integration_in_time(cells, genes):
    network = cells.varp["network"].toarray()
    truth, production = cells.layers["truth"].toarray(), cells.layers["production"].toarray()
    profiles = grn_knockout(cells, genes, cells=["cell_0", "cell_1", "cell_2"]).toarray()
    for cell in range(3):
        presence = (truth[cell] > 0) & ~cells.var_names.isin(np.atleast_1d(genes))
        x = integrate(presence, network, production=production[cell], start=np.where(presence, truth[cell], 0))
        np.testing.assert_allclose(profiles[cell], x / x.sum(), rtol=1e-5, atol=1e-6)


@given(genes=st.lists(st.sampled_from([f"gene_{i}" for i in range(20)]), unique=True, max_size=8), seed=st.randoms())
@settings(max_examples=30, deadline=None)
def test_profiles_sum_to_one_without_the_genes_in_any_order(cells, genes, seed):
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
