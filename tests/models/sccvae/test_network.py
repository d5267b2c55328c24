from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from dko.models.sccvae import PAPER, Config, Network, full_mask, propagation

TINY = Config(n_latent=6, hidden=(10, 7), code_hidden=(5,), coupling=0.5)


def network(code="neighbours", mask=None, own=None, **changed):
    torch.manual_seed(0)
    mask = torch.from_numpy(full_mask(6)) if mask is None else mask
    features = torch.randn(4, 3)
    own = torch.zeros(4, len(mask)) if own is None else own
    return Network(replace(TINY, code=code, **changed), torch.rand(9), mask, features, own).eval()


def test_shapes_and_least_variance():
    made, cells = network(), torch.rand(2, 5, 9)
    mean, variance = made.encode(cells)
    assert mean.shape == variance.shape == (2, 5, 6)
    assert (variance > 1e-4).all()
    assert made.decode(mean, made.propagation()).shape == (2, 5, 9)
    assert all(weight.dtype == torch.float32 for weight in made.parameters())


def test_the_mean_of_controls_is_where_encoder_and_decoder_start():
    made = network()
    with torch.no_grad():
        for layer in (made.encoder[0], made.decoder[-1]):
            layer.bias.zero_()
        made.decoder[-1].weight.zero_()
    torch.testing.assert_close(made.encoder[0](made.centre - made.centre), torch.zeros(10))
    torch.testing.assert_close(made.decode(torch.randn(3, 6), made.propagation()), made.centre.expand(3, 9))


def test_edges_outside_the_mask_have_no_weight():
    """T1: of the graph, zeros on and below the diagonal, and wherever a prior has no edge; the mask is saved."""
    prior = torch.from_numpy(full_mask(6))
    prior[0, 3] = prior[1, 2] = False
    made = network(mask=prior)
    graph = made.graph()
    assert (graph[~prior] == 0).all() and (graph[prior] != 0).all()
    assert torch.equal(made.state_dict()["mask"].bool(), prior)
    torch.testing.assert_close(made.propagation(), propagation(graph))


def test_without_a_graph_a_shift_is_what_moves():
    """T2: u = z + shift."""
    made = network(mask=torch.zeros(6, 6, dtype=torch.bool))
    assert torch.equal(made.propagation(), torch.eye(6))
    z, shift = torch.randn(3, 6), made.shifts()[:1]
    torch.testing.assert_close((z + shift) @ made.propagation(), z + shift)


def test_codes_have_length_one_or_lie_in_the_simplex():
    unit, softmax = network("unit"), network("softmax")
    torch.testing.assert_close(unit.shifts().norm(dim=1), torch.ones(4))
    assert (unit.shifts() < 0).any()
    torch.testing.assert_close(softmax.shifts().sum(dim=1), torch.ones(4))
    assert (softmax.shifts() > 0).all()


@pytest.mark.parametrize("code", ["unit", "softmax"])
def test_strengths_multiply_codes(code):
    made = network(code)
    with torch.no_grad():
        made.strength.copy_(torch.tensor([0.0, 1.0, -2.0, 3.0]))
    directions = made.directions(made.features, made.own)
    torch.testing.assert_close(made.shifts(), made.strength[:, None] * directions)


def test_free_codes_start_at_no_shift():
    assert (network().shifts() == 0).all()


@pytest.mark.parametrize("code", ["neighbours", "unit", "softmax"])
def test_a_target_with_a_dimension_of_its_own_moves_it(code):
    own = torch.zeros(4, 6)
    own[2, 5] = 1.0
    made, without = network(code, own=own), network(code)
    gain = (made.shifts() - without.shifts())[:, 5]
    assert gain[2] > 0.01
    assert (gain[[0, 1, 3]] == 0).all()


@pytest.mark.parametrize("code", ["neighbours", "unit"])
def test_codes_strengths_edges_and_biases_do_not_decay(code):
    """T8: what no cell of the batch has anything to do with stays as it is."""
    made = network(code)
    of = {id(weight): group for group in made.parameter_groups(1e-3, 0.1, 10.0) for weight in group["params"]}
    assert len(of) == len(list(made.parameters()))
    for name, weight in made.named_parameters():
        assert of[id(weight)]["weight_decay"] == (0.1 if name.endswith("weight") and name != "own_weight" else 0.0)
        assert (of[id(weight)].get("lr", 1e-3) > 1e-3) == (name in {"codes", "strength"})


def test_as_published_nothing_learns_faster():
    rates = {group.get("lr", 1e-3) for group in network("softmax").parameter_groups(1e-3, 0.1, PAPER.faster)}
    assert rates == {1e-3}


def test_the_published_sizes():
    made = Network(PAPER, torch.zeros(40), torch.from_numpy(full_mask(512)), torch.zeros(3, 50), torch.zeros(3, 512))
    widths = [layer.out_features for layer in made.modules() if isinstance(layer, torch.nn.Linear)]
    assert sorted(widths) == sorted([1024, 1024, 512, 512, 1024, 1024, 40, 1024, 1024, 512])
    assert made.graph()[made.mask.bool()].std().item() == pytest.approx(0.1, rel=0.02)
    assert (made.strength == 1).all()


def test_other_codes_are_refused():
    with pytest.raises(ValueError, match="code='free' must be one of 'neighbours', 'unit', 'softmax'"):
        network("free")
