from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from dko.datasets import grn


def test_truth_agrees_with_integration_in_time(cells, integrate):
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


def test_many_cells_are_solved_as_each_one_alone(integrate):
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
