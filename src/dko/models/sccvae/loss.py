"""The loss: distance of predicted from measured cells, divergence from the prior, maximum mean discrepancy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .config import Config
    from .network import Network
    from .sampler import Batch


# Multiples of the median squared distance that serve as squared bandwidths.
_FACTORS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)


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
        loss = config.reconstruction * pair_distance(before, batch.before[:, :some])
        if config.pairs:
            loss = loss + config.pairs * pair_distance(after, batch.after)
        if config.effect:
            counted = torch.ones_like(batch.effect)
            counted[:, self._columns] = 1 - batch.members[:, self._measured]
            loss = loss + config.effect * effect_distance(before, after[:, :some], batch.effect, counted)
        return (
            loss
            + self._weight_of_divergence() * gaussian_kl(mean, variance).mean(dim=1)
            + config.mmd * grouped_mmd(after, batch.after, self._bandwidths)
            + config.sparsity * network.graph().abs().sum()
        )

    def _weight_of_divergence(self) -> float:
        if not self.training:
            return self._config.kl
        self._step += 1
        return self._config.kl * min(1.0, self._step / max(1, self._n_warm))


def gaussian_kl(mean: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
    """Return the divergence of N(mean, variance) from N(0, 1), averaged over the last axis."""
    return 0.5 * (mean**2 + variance - 1 - variance.log()).mean(dim=-1)


def pair_distance(predicted: torch.Tensor, measured: torch.Tensor) -> torch.Tensor:
    """Return the mean squared distance of each predicted cell from one measured cell."""
    return (predicted - measured).square().mean(dim=(1, 2))


def effect_distance(
    before: torch.Tensor, after: torch.Tensor, effect: torch.Tensor, counted: torch.Tensor
) -> torch.Tensor:
    """Return the squared distance of the mean change of each group from the measured effect, over genes that count."""
    return (counted * ((after - before).mean(dim=1) - effect)).square().mean(dim=-1)


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


def median_bandwidths(cells: torch.Tensor, factors: Sequence[float] = _FACTORS) -> torch.Tensor:
    """Return multiples of the median squared distance between cells (cells x genes), as squared bandwidths."""
    distance = squared_distances(cells[None])[0]
    above = torch.triu_indices(len(cells), len(cells), offset=1, device=cells.device)
    median = distance[above[0], above[1]].median().clamp_min(torch.finfo(cells.dtype).tiny)
    return median * torch.tensor(factors, dtype=cells.dtype, device=cells.device)
