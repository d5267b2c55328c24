from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from dko.models.dko.config import DkoConfig
from dko.models.dko.network import AssemblageNetwork, fit, inputs_of
from dko.models.fitting import Schedule
from dko.models.knockout import AffineMap

CPU = torch.device("cpu")


@st.composite
def profiles(draw):
    """Relative profiles (CSR): any cells and genes, none of the cells empty."""
    n_cells, n_genes = draw(st.integers(1, 8)), draw(st.integers(2, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = rng.lognormal(sigma=draw(st.sampled_from([0.1, 3.0])), size=(n_cells, n_genes))
    values *= rng.random(values.shape) < draw(st.sampled_from([0.2, 0.7, 1.0]))
    values[np.arange(n_cells), rng.integers(n_genes, size=n_cells)] = 1
    return sparse.csr_matrix((values / values.sum(1, keepdims=True)).astype(np.float32))


@given(profiles(), st.data())
def test_the_start_is_the_mean_of_each_gene_where_it_is_present(observed, data):
    n_genes = observed.shape[1]
    network = AssemblageNetwork(n_genes, data.draw(st.integers(1, n_genes)))
    network.start_from_mean(inputs_of(observed))
    dense = observed.toarray().astype(float)
    present = dense > 0
    sums = (dense * present.sum(1, keepdims=True)).sum(0)
    mean = np.where(present.any(0), sums / np.maximum(present.sum(0), 1), 1e-6)
    expected = present * mean
    predicted = network.predict(torch.from_numpy(present.astype(np.float32))).detach()
    np.testing.assert_allclose(predicted, expected / expected.sum(1, keepdims=True), atol=1e-5)
    affine = network.affine()
    assert not affine.influence.any()
    np.testing.assert_allclose(affine.intercept, mean, rtol=1e-5)
    assert not network.first.weight[:, ~present.any(0)].any()
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())


def trained(observed, width):
    """Network that starts from the mean and then has weights of some size."""
    network = AssemblageNetwork(observed.shape[1], width)
    network.start_from_mean(inputs_of(observed))
    with torch.no_grad():
        network.second.weight.normal_(std=0.05)
        network.first.bias.normal_(std=0.1)
        network.second.bias.normal_(mean=1.0, std=0.1)
    return network


@given(profiles(), st.data())
def test_maps_are_what_the_network_computes(observed, data):
    n_genes = observed.shape[1]
    network = trained(observed, data.draw(st.integers(1, n_genes)))
    affine, low_rank = network.affine(), network.affine(whole=False)
    y = torch.rand(3, n_genes)
    y /= y.sum(1, keepdim=True)
    raw = network.scale * network.second(network.first(y * network.gain - network.offset))
    size = raw.abs().max().item()
    np.testing.assert_allclose(
        y.numpy() @ affine.influence.T + affine.intercept, raw.detach().numpy(), atol=1e-4 * size
    )
    assert low_rank.influence.shape[0] == network.first.out_features
    np.testing.assert_allclose(
        low_rank.outgoing @ low_rank.influence, affine.influence, atol=1e-5 * np.abs(affine.influence).max()
    )
    np.testing.assert_array_equal(low_rank.intercept, affine.intercept)


@given(profiles(), st.booleans(), st.data())
def test_start_from_takes_over_a_map(observed, full, data):
    n_genes = observed.shape[1]
    width = n_genes if full else data.draw(st.integers(1, n_genes))
    network, other = trained(observed, width), AssemblageNetwork(n_genes, width)
    other.start_from(network.affine(whole=full), inputs_of(observed[::-1]))
    before, after = network.affine(), other.affine()
    np.testing.assert_allclose(after.influence, before.influence, atol=1e-5 * np.abs(before.influence).max())
    np.testing.assert_allclose(after.intercept, before.intercept, atol=1e-5 * np.abs(before.intercept).max())


def test_a_map_without_influence_can_be_trained_on():
    rng, network = np.random.default_rng(0), AssemblageNetwork(7, 7)
    observed = rng.random((10, 7)).astype(np.float32) * (rng.random((10, 7)) < 0.6)
    observed /= observed.sum(1, keepdims=True)
    inputs = inputs_of(sparse.csr_matrix(observed))
    network.start_from(AffineMap(np.zeros((7, 7), np.float32), np.ones(7, np.float32)), inputs)
    network(torch.from_numpy(observed)).sum().backward()
    assert network.first.weight.grad is not None and network.first.weight.grad.any()


@pytest.fixture
def trainable():
    rng = np.random.default_rng(0)
    values = rng.gamma(1.0, size=(60, 6)) * (rng.random((60, 6)) < 0.7)
    values[:, 0] += 0.1
    values[:, 1] *= np.where(values[:, 2] > 0, 5, 1)
    return sparse.csr_matrix((values / values.sum(1, keepdims=True)).astype(np.float32))


def run(trainable, seed=0, **kwargs):
    schedule = kwargs.pop("schedule", Schedule(batch_size=10, learning_rate=0.01, max_steps=60, validate_every=5))
    rng = np.random.default_rng(seed)
    config = DkoConfig(rank=kwargs.pop("rank", None))
    affine, trained = fit(trainable[:40], trainable[40:], config, schedule, device=CPU, rng=rng, **kwargs)
    return affine, trained.history["validation_loss"]


def test_a_low_rank_fit_goes_on_from_a_low_rank_map(trainable):
    first, _ = run(trainable, rank=2)
    assert first.outgoing is not None
    assert (first.outgoing.shape, first.influence.shape, first.intercept.shape) == ((6, 2), (2, 6), (6,))
    schedule = Schedule(batch_size=40, learning_rate=1e-9, max_steps=1)
    again, _ = run(trainable, rank=2, init=first, schedule=schedule)
    np.testing.assert_allclose(
        again.outgoing @ again.influence, first.outgoing @ first.influence, atol=1e-5 * np.abs(first.outgoing).max()
    )
