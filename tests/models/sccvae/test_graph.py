from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dko.models.sccvae import acyclic_order, effect_graph, full_mask, ordered_mask, random_mask

graphs = st.integers(1, 9).flatmap(
    lambda n: hnp.arrays(float, (n, n), elements=st.sampled_from([0.0, 0.0, 0.0, 1.0, -2.0, 0.5]))
)


def without_loops(weights):
    found = np.array(weights, dtype=float)
    np.fill_diagonal(found, 0)
    return found


@pytest.mark.parametrize("n", [1, 2, 5])
def test_full_mask_is_strictly_upper_triangular(n):
    mask = full_mask(n)
    assert mask.dtype == bool and mask.sum() == n * (n - 1) // 2
    assert not np.tril(mask).any()


def test_random_mask_is_a_part_of_the_full_one():
    mask = random_mask(60, 0.3, np.random.default_rng(0))
    assert not np.tril(mask).any()
    assert mask.sum() / full_mask(60).sum() == pytest.approx(0.3, abs=0.04)
    assert np.array_equal(mask, random_mask(60, 0.3, np.random.default_rng(0)))
    assert not np.array_equal(mask, random_mask(60, 0.3, np.random.default_rng(1)))
    assert not random_mask(5, 0.0, np.random.default_rng(0)).any()
    assert np.array_equal(random_mask(5, 1.0, np.random.default_rng(0)), full_mask(5))


@given(graphs)
def test_an_order_names_every_node_once(weights):
    assert sorted(acyclic_order(weights)) == list(range(len(weights)))


@given(graphs, st.randoms(use_true_random=False))
def test_a_graph_without_cycles_keeps_all_edges(weights, random):
    n = len(weights)
    shuffled = random.sample(range(n), n)
    acyclic = np.triu(weights, 1)[np.ix_(shuffled, shuffled)]
    order = acyclic_order(acyclic)
    assert not np.tril(acyclic[np.ix_(order, order)]).any()


@given(graphs)
def test_at_most_half_of_the_edges_of_a_graph_of_equal_weights_point_backwards(weights):
    """What Eades, Lin and Smyth prove of their heuristic, pairs of opposite edges apart."""
    edges = (without_loops(weights) != 0).astype(float)
    order = acyclic_order(edges)
    backwards = np.tril(edges[np.ix_(order, order)]).sum()
    assert backwards <= edges.sum() / 2


def test_the_weakest_edge_of_a_cycle_is_left_out():
    weights = np.zeros((3, 3))
    weights[0, 1], weights[1, 2], weights[2, 0] = 5.0, -5.0, 0.1
    assert acyclic_order(weights).tolist() == [0, 1, 2]


@given(graphs, st.integers(0, 3))
def test_masks_hold_the_edges_that_point_forwards(weights, n_free):
    order, mask, dropped = ordered_mask(weights, n_free)
    edges, n = without_loops(weights) != 0, len(weights)
    forwards = np.triu(edges[np.ix_(order, order)], 1)
    np.testing.assert_array_equal(mask[:n, :n], forwards)
    assert dropped == edges.sum() - forwards.sum()
    assert mask.shape == (n + n_free, n + n_free) and not np.tril(mask).any()
    # Dimensions without a name: all nodes act on them, and they on the later ones of their kind.
    assert mask[:n, n:].all()
    np.testing.assert_array_equal(mask[n:, n:], full_mask(n_free))


def test_edges_of_effects_are_the_significant_ones_between_targets():
    effects = np.array([[-9.0, 4.0, 1.0, 0.0], [2.9, 0.0, -8.0, -3.5]])
    found = effect_graph(effects, np.array([0, 3]))
    np.testing.assert_array_equal(found, [[0.0, 0.0], [0.0, 0.0]])
    found = effect_graph(effects, np.array([0, 1]))
    np.testing.assert_array_equal(found, [[0.0, 4.0], [0.0, 0.0]])
    found = effect_graph(effects, np.array([0, 1]), threshold=2.0)
    np.testing.assert_array_equal(found, [[0.0, 4.0], [2.9, 0.0]])
    assert effects[0, 0] == -9.0
