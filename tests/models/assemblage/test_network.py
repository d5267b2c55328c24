from __future__ import annotations

import numpy as np
import pytest
import torch

from dko.models.assemblage import AffineMap
from dko.models.assemblage._network import AssemblageNetwork


@pytest.fixture
def network():
    torch.manual_seed(1)
    return AssemblageNetwork(7)


@pytest.fixture
def rows():
    return torch.from_numpy((np.random.default_rng(0).random((10, 7)) < 0.6).astype(np.float32))


def test_profiles_sum_to_one_on_the_genes_that_are_present(network, rows):
    profiles = network(rows)
    assert torch.equal(profiles > 0, rows > 0)
    torch.testing.assert_close(profiles.sum(1), torch.ones(10))


def test_affine_is_the_two_layers_multiplied_out(network):
    affine = network.affine()
    assert affine.influence.dtype == affine.intercept.dtype == np.float32
    y = torch.rand(7)
    expected = network.second(network.first(y)).detach().numpy()
    np.testing.assert_allclose(affine.influence @ y.numpy() + affine.intercept, expected, atol=1e-6)


def test_start_from_takes_over_a_map_exactly(network, rows):
    affine, other = network.affine(), AssemblageNetwork(7)
    other.start_from(affine)
    taken = other.affine()
    np.testing.assert_array_equal(taken.influence, affine.influence)
    np.testing.assert_array_equal(taken.intercept, affine.intercept)
    torch.testing.assert_close(other(rows), network(rows), atol=1e-6, rtol=1e-5)


def test_subset_keeps_the_influence_among_the_chosen_genes():
    affine = AffineMap(np.arange(16, dtype=np.float32).reshape(4, 4), np.arange(4, dtype=np.float32))
    part = affine.subset([2, 0])
    assert part.influence.tolist() == [[10, 8], [2, 0]]
    assert part.intercept.tolist() == [2, 0]
