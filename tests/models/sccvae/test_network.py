from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dko.models.sccvae.config import PRESETS, Config
from dko.models.sccvae.network import Network
from dko.models.sccvae.targets import full_mask

PAPER: Any = PRESETS["paper"][0]
TINY = Config(n_latent=6, hidden=(10, 7), code_hidden=(5,), coupling=0.5)


def network(code="neighbours", mask=None, own=None, **changed):
    torch.manual_seed(0)
    mask = torch.from_numpy(full_mask(6)) if mask is None else mask
    features = torch.randn(4, 3)
    own = torch.zeros(4, len(mask)) if own is None else own
    return Network(replace(TINY, code=code, **changed), torch.rand(9), mask, features, own).eval()


def groups_of(made, **how):
    return made.optimizer(replace(TINY, **how), 1e-3).param_groups


def test_edges_outside_the_mask_have_no_weight():
    """T1: of the graph, zeros on and below the diagonal, and wherever a prior has no edge; the mask is saved."""
    prior = torch.from_numpy(full_mask(6))
    prior[0, 3] = prior[1, 2] = False
    made = network(mask=prior)
    graph = made.graph()
    assert (graph[~prior] == 0).all() and (graph[prior] != 0).all()
    assert torch.equal(made.state_dict()["mask"].bool(), prior)


@pytest.mark.parametrize("code", ["neighbours", "softmax"])
def test_codes_strengths_edges_and_biases_do_not_decay(code):
    """T8: what no cell of the batch has anything to do with stays as it is."""
    made = network(code)
    of = {id(weight): group for group in groups_of(made, decay=0.1) for weight in group["params"]}
    assert len(of) == len(list(made.parameters()))
    for name, weight in made.named_parameters():
        assert of[id(weight)]["weight_decay"] == (0.1 if name.endswith("weight") and name != "own_weight" else 0.0)
        assert (of[id(weight)]["lr"] > 1e-3) == (name in {"codes", "strength"})


def test_the_published_sizes():
    made = Network(PAPER, torch.zeros(40), torch.from_numpy(full_mask(512)), torch.zeros(3, 50), torch.zeros(3, 512))
    widths = [layer.out_features for layer in made.modules() if isinstance(layer, torch.nn.Linear)]
    assert sorted(widths) == sorted([1024, 1024, 512, 512, 1024, 1024, 40, 1024, 1024, 512])
    assert made.graph()[made.mask.bool()].std().item() == pytest.approx(0.1, rel=0.02)
    assert (made.strength == 1).all()


@given(n=st.integers(1, 40), seed=st.integers(0, 10_000))
def test_variables_are_what_the_equation_says(n, seed):
    """u = u A + z, and no dimension acts on an earlier one."""
    torch.manual_seed(seed)
    made = network(mask=torch.from_numpy(full_mask(n))).double()
    z, matrix, a = torch.randn(3, n).double(), made.propagation(), made.graph()
    torch.testing.assert_close(z @ matrix, z @ matrix @ a + z)
    assert torch.equal(matrix.tril(), torch.eye(n, dtype=torch.float64))
