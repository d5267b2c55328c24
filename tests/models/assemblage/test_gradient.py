from __future__ import annotations

import pytest
import torch

from dko.models.assemblage._fit import loss
from dko.models.assemblage._gradient import descend
from dko.models.assemblage._network import AssemblageNetwork


@pytest.mark.parametrize("n_cells", [1, 20])
@pytest.mark.parametrize("present", [0.1, 0.8, 1.0])
@pytest.mark.parametrize("width", [None, 4])
def test_equals_automatic_differentiation(n_cells, present, width):
    torch.manual_seed(0)
    network = AssemblageNetwork(30, width).double()
    network.gain.fill_(7.0)
    network.offset.uniform_()
    network.scale.uniform_(0.5, 2.0)
    profiles = torch.rand(n_cells, 30).double() * (torch.rand(n_cells, 30) < present)
    profiles[:, 3] += 0.1
    profiles /= profiles.sum(1, keepdim=True)
    mean = loss(network, profiles).mean()
    mean.backward()
    expected = {name: weight.grad for name, weight in network.named_parameters()}
    network.zero_grad()
    torch.testing.assert_close(descend(network, profiles), mean.detach())
    for name, weight in network.named_parameters():
        torch.testing.assert_close(weight.grad, expected[name])
        assert weight.grad is not None and weight.grad.any()
