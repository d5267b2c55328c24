from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from scipy import sparse

import dko
from dko.models.knockout import _torch, find
from dko.models.knockout._deep import ACTIVATIONS, DeepMap

if TYPE_CHECKING:
    from collections.abc import Callable

LINKS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "abs": torch.abs,
    "softplus": torch.nn.functional.softplus,
    "exp": torch.exp,
}


@pytest.fixture(scope="module", params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device(request.param)


def make_deep(sizes, rng, activation="relu", link="softplus"):
    layers = []
    for number, (n_in, n_out) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        # Shares are small; later layers get numbers of the size of one.
        scale = n_in**0.5 if number == 0 else n_in**-0.5
        weight, bias = rng.normal(scale=scale, size=(n_out, n_in)), rng.normal(size=n_out)
        layers.append((weight.astype(np.float32), bias.astype(np.float32)))
    return DeepMap(layers, activation, link)


def profile(deep, assemblage, weight):
    """Profile of one cell, by running the whole network in double precision."""
    activation = getattr(torch.nn.functional, deep.activation)
    present, hidden = torch.from_numpy(assemblage), torch.from_numpy(assemblage / max(assemblage.sum(), 1e-12))
    for number, (matrix, bias) in enumerate(deep.layers):
        hidden = activation(hidden) if number else hidden
        hidden = torch.from_numpy(matrix).double() @ hidden + torch.from_numpy(bias).double()
    output = (LINKS[deep.link](hidden) * present * torch.from_numpy(weight)).numpy()
    return output / output.sum() if output.sum() else output


def check(deep, presence, sets, row, number, impacts, after, *, dose=1.0, weights=None):
    rows = presence.toarray().astype(float)
    weights = np.ones(presence.shape) if weights is None else weights
    for place, (cell, which) in enumerate(zip(row, number, strict=True)):
        left = rows[cell].copy()
        left[[gene for gene in sets[which] if gene >= 0]] *= 1 - dose
        before, expected = (profile(deep, z, weights[cell]) for z in (rows[cell], left))
        entries = slice(*presence.indptr[cell : cell + 2])
        np.testing.assert_allclose(after[which, entries], expected[rows[cell] > 0], atol=1e-5)
        apart = np.abs(before - expected).sum() / (before + expected).sum()
        assert impacts[place] == pytest.approx(apart, abs=1e-5)


@pytest.mark.parametrize("budget", [1, 5_000, 2**28])
@pytest.mark.parametrize("dose", [1.0, 0.4])
@pytest.mark.parametrize(("activation", "link"), [("relu", "abs"), ("tanh", "softplus"), ("gelu", "exp")])
def test_equals_the_whole_network(device, make_presence, dense_weights, activation, link, dose, budget):
    rng = np.random.default_rng(0)
    deep, presence = make_deep([15, 8, 6, 15], rng, activation, link), make_presence(12, 15, 0.6, rng)
    residual = rng.lognormal(size=presence.nnz).astype(np.float32)
    sets = np.array([[gene, other] for gene in range(0, 15, 3) for other in (-1, (gene + 4) % 15)])
    row, number, removed = find(presence, sets)
    after = np.full((len(sets), presence.nnz), np.nan, dtype=np.float32)
    keywords = {"device": device, "residual": residual, "dose": dose}
    with dko.settings.override(memory_budget=budget):
        impacts = _torch.knock_out(deep, presence, row, removed, after=after, number=number, **keywords)
    weights = dense_weights(presence, residual)
    check(deep, presence, sets, row, number, impacts, after, dose=dose, weights=weights)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_scan_and_predict(device, make_presence, activation):
    rng = np.random.default_rng(0)
    deep, presence = make_deep([10, 20, 10], rng, activation), make_presence(20, 10, 0.5, rng)
    wanted = rng.random(10) < 0.5
    sets = np.flatnonzero(wanted)[:, None]
    row, number, removed = find(presence, sets)
    after = np.full((len(sets), presence.nnz), np.nan, dtype=np.float32)
    impacts = _torch.scan(deep, presence, device=device, wanted=wanted)
    asked = wanted[presence.indices]
    assert np.isnan(impacts[~asked]).all()
    alone = _torch.knock_out(deep, presence, row, removed, device=device, after=after, number=number)
    np.testing.assert_allclose(impacts[presence.indptr[row] + removed[:, 0]], alone, atol=1e-6)
    check(deep, presence, sets, row, number, alone, after)
    ones = np.ones(10)
    expected = [profile(deep, z, ones)[z > 0] for z in presence.toarray().astype(float)]
    np.testing.assert_allclose(_torch.predict(deep, presence, device=device), np.concatenate(expected), atol=1e-6)


def test_one_layer_is_an_affine_map(device, make_map, make_presence):
    rng = np.random.default_rng(0)
    affine, presence = make_map(20, rng, "exp", scale=0.3), make_presence(15, 20, 0.5, rng)
    deep = DeepMap([(affine.influence, affine.intercept)], link="exp")
    found, expected = (_torch.scan(model, presence, device=device) for model in (deep, affine))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    known = (presence, np.arange(20), np.zeros(15, dtype=int), 1)
    sums, expected_sums = (_torch.effect_sums(model, *known, device=device)[0] for model in (deep, affine))
    np.testing.assert_allclose(sums, expected_sums, atol=1e-4)


def test_a_change_that_an_affine_map_would_miss(device):
    # The hidden unit is on while both genes are there, and off without either.
    first = (np.array([[2, 2, 0]], dtype=np.float32), np.array([-4 / 3 + 0.1], dtype=np.float32))
    second = (np.array([[0], [0], [10]], dtype=np.float32), np.ones(3, dtype=np.float32))
    presence = sparse.csr_matrix(np.ones((1, 3), dtype=np.float32))
    deep = DeepMap([first, second])
    predicted = _torch.predict(deep, presence, device=device)
    np.testing.assert_allclose(predicted, [0.25, 0.25, 0.5], atol=1e-6)
    after = np.empty((1, 3), dtype=np.float32)
    where = (np.array([0]), np.array([[0]]))
    _torch.knock_out(deep, presence, *where, device=device, after=after, number=np.array([0]))
    np.testing.assert_allclose(after, [[0, 0.5, 0.5]], atol=1e-6)


def test_what_does_not_fit_together_is_refused():
    rng = np.random.default_rng(0)
    layers = make_deep([4, 3, 4], rng).layers
    with pytest.raises(ValueError, match="No activation 'sin'; choose one of relu"):
        DeepMap(layers, "sin")
    with pytest.raises(ValueError, match="No link 'sin'"):
        DeepMap(layers, link="sin")
    with pytest.raises(ValueError, match=r"The weight of layer 1 has the shape \(4, 3\), not \(4, 4\)"):
        DeepMap([make_deep([4, 4], rng).layers[0], layers[1]])
