from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from dko.datasets import _dynamics
from dko.datasets._dynamics import compact, steady_state, to_profile, viable_steady_state


def random_case(seed, n_cells=20, n_genes=12, density=0.4):
    rng = np.random.default_rng(seed)
    network = (rng.random((n_genes, n_genes)) < density) * rng.normal(size=(n_genes, n_genes))
    presence = rng.random((n_cells, n_genes)) < rng.uniform(0.2, 1.0)
    production = rng.lognormal(0, 0.7, (n_cells, n_genes))
    return presence, network, production


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_integration_in_time(seed, integrate):
    presence, network, production = random_case(seed, n_cells=3, n_genes=8)
    decay = 0.5 + seed
    x = steady_state(presence, network, production=production, decay=decay)
    for cell in range(3):
        expected = integrate(presence[cell], network, production=production[cell], decay=decay)
        np.testing.assert_allclose(x[cell], expected, rtol=1e-6, atol=2e-6)


def test_any_positive_start_leads_to_the_same_state(integrate):
    """Strong positive feedback and mutual repression would give two states in a steeper model; not in this one."""
    network = np.array([[8.0, -6.0, 0.0], [-6.0, 8.0, 3.0], [0.5, 0.0, -9.0]])
    presence = np.ones((1, 3), dtype=bool)
    expected = steady_state(presence, network)
    for start in ([1e-3, 50.0, 1.0], [50.0, 1e-3, 1.0], [0.1, 0.1, 80.0]):
        np.testing.assert_allclose(steady_state(presence, network, start=np.array([start])), expected, rtol=1e-8)
        np.testing.assert_allclose(integrate(presence[0], network, start=np.array(start)), expected[0], rtol=1e-6)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_state_is_balanced_and_absent_genes_take_no_part(seed):
    presence, network, production = random_case(seed)
    x = steady_state(presence, network, production=production)
    assert (x[~presence] == 0).all()
    on, free = x / (1 + x), presence / (1 + x)
    change = production * (on @ np.maximum(network, 0) + free @ np.maximum(-network, 0)) * presence - x
    np.testing.assert_allclose(change, 0, atol=2e-6)
    # Neither the edges of absent genes nor the genes themselves change anything.
    for cell in range(len(x)):
        here = presence[cell]
        alone = steady_state(
            np.ones((1, here.sum()), dtype=bool), network[np.ix_(here, here)], production=production[[cell]][:, here]
        )
        np.testing.assert_allclose(alone[0], x[cell, here], rtol=1e-7, atol=1e-12)


def test_absent_repressor_contributes_nothing():
    network = np.array([[0.0, -1.0], [0.0, 0.0]])
    assert steady_state(np.array([[False, True]]), network).tolist() == [[0.0, 0.0]]


def test_gene_without_production_dies_out_and_no_longer_represses():
    network = np.array([[0.0, -2.0], [0.0, 0.0]])
    np.testing.assert_allclose(steady_state(np.array([[True, True]]), network), [[0.0, 2.0]])


def test_activation_too_weak_to_last_dies_out():
    weak, strong = (np.array([[0.0, w], [w, 0.0]]) for w in (0.9, 3.0))
    presence = np.ones((1, 2), dtype=bool)
    assert (steady_state(presence, weak) == 0).all()
    np.testing.assert_allclose(steady_state(presence, strong), 2.0)  # x = 3 x / (1 + x)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_viable_state_is_the_state_of_the_genes_it_shows(seed):
    presence, network, production = random_case(seed, density=0.15)
    x = viable_steady_state(presence, network, production=production, decay=1.3)
    again = steady_state(x > 0, network, production=production, decay=1.3)
    np.testing.assert_allclose(again, x, rtol=1e-6, atol=1e-6)
    assert not x[~presence].any()


def test_viable_state_drops_genes_in_turn():
    # Nothing produces gene 0, so it goes; then nothing produces gene 1 any more, and so on.
    network = np.zeros((5, 5))
    network[0, 1] = network[1, 2] = -1.0
    network[3, 4] = network[4, 3] = -1.0
    x = viable_steady_state(np.ones((1, 5), dtype=bool), network)
    assert (x > 0).tolist() == [[False, False, False, True, True]]


def test_sparse_and_dense_networks_agree():
    presence, network, _ = random_case(3)
    np.testing.assert_allclose(
        steady_state(presence, sparse.csr_array(network)), steady_state(presence, network), rtol=1e-8
    )


def test_compact_chooses_by_density():
    assert sparse.issparse(compact(sparse.csr_array(np.eye(100))))
    assert isinstance(compact(sparse.csr_array(np.ones((3, 3)))), np.ndarray)


def test_many_cells_are_solved_as_each_one_alone():
    presence, network, production = random_case(5, n_cells=3_000)
    x = steady_state(presence, network, production=production)
    for cell in (0, 1_500, 2_999):
        alone = steady_state(presence[[cell]], network, production=production[[cell]])
        np.testing.assert_allclose(x[[cell]], alone, rtol=1e-7)


def test_cells_that_do_not_settle_are_counted(monkeypatch):
    monkeypatch.setattr(_dynamics, "MAX_ITERATIONS", 3)
    presence = np.array([[True, True], [False, False]])
    with pytest.raises(RuntimeError, match="1 of 2 cells did not settle in 3 iterations"):
        steady_state(presence, np.array([[0.0, 3.0], [3.0, 0.0]]))


def test_profile_of_nothing_is_nothing():
    assert to_profile(np.array([[1.0, 3.0], [0.0, 0.0]])).tolist() == [[0.25, 0.75], [0.0, 0.0]]
