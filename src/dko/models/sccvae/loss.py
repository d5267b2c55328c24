"""The loss: distance of predicted from measured cells, divergence from the prior, maximum mean discrepancy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from .config import Config
    from .network import Network
    from .sampler import Batch, Cells


# Multiples of the median squared distance that serve as squared bandwidths.
_FACTORS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
# Control cells that bandwidths are computed from.
_FOR_BANDWIDTHS = 500


class Loss(torch.nn.Module):
    """The loss of a batch, one number per group, without perturbed transcripts; the divergence rises over `n_warm`."""

    def __init__(self, network: Network, config: Config, bandwidths: torch.Tensor, columns: np.ndarray, n_warm: int):
        super().__init__()
        self.network = network
        self._config, self._bandwidths, self._n_warm, self._step = config, bandwidths, n_warm, 0
        self._measured = torch.from_numpy(np.flatnonzero(columns >= 0)).to(bandwidths.device)
        self._columns = torch.from_numpy(columns[columns >= 0]).to(bandwidths.device)

    def forward(self, batch: Batch) -> torch.Tensor:
        """Return the loss of each group."""
        network, config = self.network, self._config
        mean, variance = network.encode(batch.before)
        latent = mean + variance.sqrt() * batch.noise
        propagated = network.propagation()
        shift = (batch.members @ network.shifts())[:, None]
        after = network.decode(latent + shift, propagated)
        # A quarter of the cells is enough, and a third of the time less.
        some = max(1, latent.shape[1] // 4)
        before = network.decode(latent[:, :some], propagated)
        loss = config.reconstruction * (before - batch.before[:, :some]).square().mean(dim=(1, 2))
        if config.pairs:
            loss = loss + config.pairs * (after - batch.after).square().mean(dim=(1, 2))
        if config.effect:
            counted = torch.ones_like(batch.effect)
            counted[:, self._columns] = 1 - batch.members[:, self._measured]
            error = counted * ((after[:, :some] - before).mean(dim=1) - batch.effect)
            loss = loss + config.effect * error.square().mean(dim=-1)
        rise = 1.0
        if self.training:
            self._step += 1
            rise = min(1.0, self._step / max(1, self._n_warm))
        # Of N(mean, variance) from N(0, 1).
        divergence = 0.5 * (mean**2 + variance - 1 - variance.log()).mean(dim=-1)
        return (
            loss
            + config.kl * rise * divergence.mean(dim=1)
            + config.mmd * grouped_mmd(after, batch.after, self._bandwidths)
            + config.sparsity * network.graph().abs().sum()
        )


def squared_distances(cells: torch.Tensor) -> torch.Tensor:
    """Return squared distances between rows, groups x cells x cells, by the Gram matrix: nothing larger is made."""
    centred = cells - cells.mean(dim=(0, 1))
    gram = centred @ centred.transpose(-1, -2)
    square = gram.diagonal(dim1=-2, dim2=-1)
    return (square[..., :, None] + square[..., None, :] - 2 * gram).clamp_min(0)


def grouped_mmd(predicted: torch.Tensor, measured: torch.Tensor, bandwidths: torch.Tensor) -> torch.Tensor:
    """Return the squared maximum mean discrepancy of two sets of cells in each group, biased, with a sum of kernels."""
    n = predicted.shape[1]
    distance = squared_distances(torch.cat([predicted, measured], dim=1))
    kernel = torch.zeros_like(distance)
    for bandwidth in bandwidths:
        kernel = kernel + torch.exp(-distance / bandwidth)
    within = kernel[:, :n, :n].mean(dim=(1, 2)) + kernel[:, n:, n:].mean(dim=(1, 2))
    return within - 2 * kernel[:, :n, n:].mean(dim=(1, 2))


def bandwidths_of(config: Config, training: Cells, rng: np.random.Generator) -> torch.Tensor:
    """Return squared bandwidths: those given, or multiples of the median squared distance between control cells."""
    if config.bandwidths is not None:
        return torch.tensor(config.bandwidths)
    some = rng.permutation(training.control)[:_FOR_BANDWIDTHS]
    distance = squared_distances(torch.from_numpy(training.values[some].toarray())[None])[0]
    above = torch.triu_indices(len(some), len(some), offset=1)
    median = distance[above[0], above[1]].median().clamp_min(torch.finfo(distance.dtype).tiny)
    return median * torch.tensor(_FACTORS)
