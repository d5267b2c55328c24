"""Fitting the assemblage model to profiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..._rng import torch_seed
from .._batches import loader
from .._training import Schedule, Trained, fabric_on, train
from ..knockout import Map
from ._loss import profile_distance
from ._network import AssemblageNetwork

if TYPE_CHECKING:
    from scipy import sparse


# Hidden units of a fit at most, unless it is as published or the user names a rank. As many as genes where they are
# fewer: some data need them all. Of 2,000 genes, so many cost a quarter of the time and generalise a little better.
_WIDTH = 512


@dataclass(frozen=True)
class Fit:
    """A fitted map and how training went."""

    affine: Map
    trained: Trained


class ProfileLoss(torch.nn.Module):
    """Bray-Curtis dissimilarity of predicted and observed profile, per cell (cells,)."""

    def __init__(self, network: AssemblageNetwork):
        super().__init__()
        self.network = network

    def forward(self, profiles: torch.Tensor) -> torch.Tensor:
        return profile_distance(self.network(profiles.sign()), profiles)


def fit(
    training: sparse.csr_matrix,
    validation: sparse.csr_matrix,
    schedule: Schedule,
    *,
    device: torch.device,
    rng: np.random.Generator,
    init: Map | None = None,
    rank: int | None = None,
    published: bool = False,
    label: str = "fit",
) -> Fit:
    """Fit profiles from assemblages.

    Parameters
    ----------
    training, validation
        Relative profiles, cells x genes, float32, no cell empty; the assemblage is where they are above 0.
    init
        A fitted map to start from, on the same genes; a low-rank one has the given rank.
    rank
        Rank of the map, which is then left as a product of two thin matrices.
    published
        Start from random weights in layers as wide as there are genes, as published, not from the mean profile.

    Returns
    -------
    The map with the best validation loss, and the history.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(torch_seed(rng))
        network = _network(training, init, rank, published).to(device)
    fused = True if device.type in {"cpu", "cuda"} else None
    trained = train(
        ProfileLoss(network),
        torch.optim.Adam(network.parameters(), lr=schedule.learning_rate, fused=fused),
        loader(training, schedule.batch_size, device),
        loader(validation, schedule.batch_size * 8, device),
        training.shape[0],
        schedule,
        fabric=fabric_on(device),
        rng=rng,
        label=label,
    )
    return Fit(network.affine() if rank is None else network.low_rank(), trained)


def _network(training: sparse.csr_matrix, init: Map | None, rank: int | None, published: bool) -> AssemblageNetwork:
    """Return the network at the start of training."""
    n_genes = training.shape[1]
    if init is not None:
        network = AssemblageNetwork(n_genes, rank)
        network.start_from(init, training)
    elif published:
        network = AssemblageNetwork(n_genes)
        network.forget(np.flatnonzero(np.bincount(training.indices, minlength=n_genes) == 0))
    else:
        network = AssemblageNetwork(n_genes, rank or min(n_genes, _WIDTH))
        network.start_from_mean(training)
    return network
