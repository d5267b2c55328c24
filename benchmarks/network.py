"""The paper's network as anyone would write it, and the training loop around it: what the fast paths are held against.

Nothing here uses the package, so that an error there cannot hide here.
"""

from __future__ import annotations

import copy
import time
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

    Losses = Callable[[nn.Module, torch.Tensor], torch.Tensor]
    """(network, profiles) -> one loss per cell."""


class Network(nn.Module):
    """Two linear layers of all genes, a modulus, and the gate of the present genes (arXiv 2510.03359)."""

    def __init__(self, n_genes: int):
        super().__init__()
        self.first = nn.Linear(n_genes, n_genes)
        self.second = nn.Linear(n_genes, n_genes)

    def forward(self, assemblage: torch.Tensor) -> torch.Tensor:
        """Return profiles for assemblages, genes along the last axis."""
        share = assemblage / assemblage.sum(-1, keepdim=True)
        gated = assemblage * self.second(self.first(share)).abs()
        return gated / gated.sum(-1, keepdim=True)

    @classmethod
    @torch.no_grad()
    def of(cls, cells: AnnData) -> Network:
        """Return the network of a fitted model: W1 = A, b1 = 0, W2 = 1, b2 = b cost what any two layers cost."""
        weights = cells.uns["dko"]["weights"]
        network = cls(weights["intercept"].shape[1])
        network.first.weight.copy_(torch.from_numpy(weights["influence"][0]))
        network.first.bias.zero_()
        network.second.weight.copy_(torch.eye(weights["intercept"].shape[1]))
        network.second.bias.copy_(torch.from_numpy(weights["intercept"][0]))
        return network


def assemblages(cells: AnnData) -> torch.Tensor:
    """Return which genes are present in each cell, dense."""
    return torch.from_numpy((cells.X.toarray() > 0).astype(np.float32))


def bray_curtis(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the Bray-Curtis dissimilarity of profiles, along the last axis."""
    return (a - b).abs().sum(-1) / (a + b).sum(-1)


def cell_by_cell(network: nn.Module, profiles: torch.Tensor) -> torch.Tensor:
    """Pass each cell through the network by itself, in training and in validation, as the reference does."""
    return torch.stack([bray_curtis(network((profile > 0).float()), profile) for profile in profiles])


def batched(network: nn.Module, profiles: torch.Tensor) -> torch.Tensor:
    """Pass all cells of a batch through the network at once."""
    return bray_curtis(network((profiles > 0).float()), profiles)


def train(
    training: torch.Tensor, validation: torch.Tensor, losses: Losses, *, n_steps: int, seed: int
) -> tuple[nn.Module, np.ndarray]:
    """Train as published: Adam, step size 0.01, batches of 20 cells, validation after every step, the best one kept.

    Parameters
    ----------
    training, validation
        Relative profiles, cells x genes, float32.
    losses
        How cells go through the network.

    Returns
    -------
    The best network, and for every step the validation loss after it and the seconds so far by the clock on the wall
    and of CPU time, shape (steps, 3).
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = Network(training.shape[1])
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    history = np.empty((n_steps, 3))
    lowest, best = np.inf, network
    wall, cpu = time.perf_counter(), time.process_time()
    for step in range(n_steps):
        batch = training[rng.choice(len(training), size=min(20, len(training)), replace=False)]
        optimizer.zero_grad()
        losses(network, batch).mean().backward()
        optimizer.step()
        with torch.no_grad():
            loss = losses(network, validation).mean().item()
        if loss < lowest:
            lowest, best = loss, copy.deepcopy(network)
        history[step] = loss, time.perf_counter() - wall, time.process_time() - cpu
    return best, history
