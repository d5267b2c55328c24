"""The gradient of the fit, written out.

It saves the bookkeeping of automatic differentiation, which counts in a network as small as the paper's; the tests hold
this against it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from ._network import AssemblageNetwork


@torch.no_grad()
def descend(network: AssemblageNetwork, profiles: torch.Tensor) -> torch.Tensor:
    """Set the gradients of the mean loss over `profiles` (cells x genes), and return that loss.

    With r what the second layer returns, g = z scale |r|, T = sum(g) and q = g / T, the loss of a cell is
    sum |q - p| / 2, so that dL/dq = sign(q - p) / 2, dL/dg = (dL/dq - <dL/dq, q>) / T and
    dL/dr = z scale sign(r) dL/dg.
    """
    first, second = network.first, network.second
    present = profiles.sign()
    inputs = network.inputs(present)
    hidden = first(inputs)
    raw = second(hidden)
    gate = present * network.scale
    predicted = raw.abs().mul_(gate)
    total = predicted.sum(1, keepdim=True)
    predicted.div_(total)
    gap = predicted - profiles
    slope = gap.sign().div_(2 * len(profiles))
    slope.sub_((slope * predicted).sum(1, keepdim=True)).mul_(raw.sign()).mul_(gate).div_(total)
    back = slope @ second.weight
    second.weight.grad, second.bias.grad = slope.T @ hidden, slope.sum(0)
    first.weight.grad, first.bias.grad = back.T @ inputs, back.sum(0)
    return gap.abs_().sum() / (2 * len(profiles))
