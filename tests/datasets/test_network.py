from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from dko.datasets._network import draw_network, read_network


def test_drawn_network_has_the_density_signs_and_weights_asked_for():
    network = draw_network(300, density=0.1, repression_share=0.3, rng=np.random.default_rng(0))
    assert network.nnz / (300 * 299) == pytest.approx(0.1, rel=0.03)
    assert (network.data < 0).mean() == pytest.approx(0.3, abs=0.02)
    sizes = np.abs(network.data)
    assert 0 < sizes.min() < 0.01 and 0.99 < sizes.max() <= 1
    assert sizes.mean() == pytest.approx(0.5, abs=0.01)
    assert not network.diagonal().any()


def test_full_density_draws_every_pair_once():
    network = draw_network(7, density=1.0, repression_share=0.0, rng=np.random.default_rng(0))
    assert ((network.toarray() > 0) == ~np.eye(7, dtype=bool)).all()


def test_single_gene_has_no_edge():
    assert draw_network(1, density=1.0, repression_share=0.5, rng=np.random.default_rng(0)).nnz == 0


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.coo_array, np.ndarray.tolist])
def test_reads_dense_and_sparse(form):
    matrix = np.array([[0.0, 2.0], [-1.0, 0.5]])
    weights, names = read_network(form(matrix))
    assert weights.toarray().tolist() == matrix.tolist()
    assert names == ["gene_0", "gene_1"]


def test_reads_frame_by_name():
    frame = pd.DataFrame([[1.0, 2.0], [3.0, 4.0]], index=["A", "B"], columns=["B", "A"])
    weights, names = read_network(frame)
    assert names == ["A", "B"]
    assert weights.toarray().tolist() == [[2.0, 1.0], [4.0, 3.0]]


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (np.ones((2, 3)), r"shape \(2, 3\): give a square matrix"),
        (np.ones((0, 0)), "give a square matrix"),
        (np.array([[0.0, np.nan], [1.0, 0.0]]), "NaN or infinite"),
        (pd.DataFrame(np.ones((2, 2)), index=["A", "B"], columns=["A", "C"]), "'B', 'C' on one axis only"),
        (pd.DataFrame(np.ones((2, 2)), index=["A", "A"], columns=["A", "A"]), "'A' more than once"),
    ],
)
def test_refuses_what_is_no_network(network, message):
    with pytest.raises(ValueError, match=message):
        read_network(network)
