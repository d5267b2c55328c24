from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from dko.models.sccvae.config import Config
from dko.models.sccvae.targets import acyclic_order, features_of, full_mask, ordered_mask

graphs = st.integers(1, 9).flatmap(
    lambda n: hnp.arrays(float, (n, n), elements=st.sampled_from([0.0, 0.0, 0.0, 1.0, -2.0, 0.5]))
)


def without_loops(weights):
    found = np.array(weights, dtype=float)
    np.fill_diagonal(found, 0)
    return found


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


@pytest.fixture(scope="module")
def cells():
    """Two regulators with a module each: genes 2 to 7 depend on gene 0, genes 8 to 13 on gene 1, six on none."""
    rng = np.random.default_rng(0)
    activity = rng.uniform(0.1, 2.0, (600, 2))
    level = np.ones((600, 20))
    level[:, [0, *range(2, 8)]] = activity[:, :1]
    level[:, [1, *range(8, 14)]] = activity[:, 1:]
    counts = rng.poisson(6 * level).astype(np.float32)
    return sparse.csr_matrix(np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True)).astype(np.float32))


def components(kind, cells, n_components):
    names = [str(number) for number in range(cells.shape[1])]
    config = Config(features=kind, n_components=n_components)
    genes, found = features_of(config, cells, names, [], np.random.default_rng(0))
    assert genes == names
    return found


def cosine(scores, first, second):
    unit = scores / np.linalg.norm(scores, axis=1, keepdims=True)
    return float(unit[first] @ unit[second])


def test_genes_that_act_alike_have_similar_influence_components(cells):
    scores = components("influence", cells, 10)
    assert scores.shape == (20, 10) and scores.dtype == np.float32
    assert cosine(scores, 2, 3) > 0.8 and cosine(scores, 8, 9) > 0.8
    assert cosine(scores, 2, 8) < 0
    assert scores.std() == pytest.approx(1, rel=1e-5)
    # Of more than there are, those that there are.
    assert components("influence", cells, 50).shape == (20, 19)
    assert components("pca", cells[:8], 50).shape == (20, 7)
