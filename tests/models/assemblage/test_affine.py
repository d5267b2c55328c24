from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

import dko
from dko.models.assemblage import AffineMap, predict
from dko.models.assemblage import _reference as naive
from dko.models.assemblage._affine import normalise, weighted_sums

CPU = torch.device("cpu")


@pytest.fixture
def affine():
    rng = np.random.default_rng(0)
    return AffineMap(rng.normal(size=(8, 8)).astype(np.float32), rng.normal(size=8).astype(np.float32))


@pytest.fixture
def presence():
    rows = (np.random.default_rng(1).random((11, 8)) < 0.5).astype(np.float32)
    rows[4] = 0
    return sparse.csr_matrix(rows)


@pytest.mark.parametrize(("budget", "batch_size"), [(2**28, None), (1, None), (200, None), (2**28, 3), (2**28, 100)])
def test_weighted_sums(affine, presence, budget, batch_size):
    with dko.settings.override(memory_budget=budget):
        found = list(weighted_sums(affine, presence, CPU, batch_size))
    assert [cell for cell, _, _ in found] == list(range(11))
    for cell, genes, sums in found:
        z = presence.toarray()[cell]
        assert genes.tolist() == np.flatnonzero(z).tolist()
        np.testing.assert_allclose(sums, (affine.influence @ z)[genes], atol=1e-5)


def test_predict_is_the_formula(affine, presence):
    layers = naive.Layers(affine.influence.astype(float), np.zeros(8), np.eye(8), affine.intercept.astype(float))
    values = predict(affine, presence, CPU)
    assert values.dtype == np.float32
    expected = np.concatenate([naive.profile(layers, z)[z > 0] for z in presence.toarray()])
    np.testing.assert_allclose(values, expected, atol=1e-5)


def test_normalise_takes_the_modulus_and_leaves_zeros():
    assert normalise(torch.tensor([[1.0, 0], [-3, 0]])).tolist() == [[0.25, 0], [0.75, 0]]
