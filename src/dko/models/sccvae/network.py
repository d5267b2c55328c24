"""The network (encoder, code of a perturbation, causal model of the latent space, decoder) and its loss."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from .config import Config
from .sampler import Batch, Cells

_SLOPE = 0.2
# Variances of the posterior are at least this.
_LEAST_VARIANCE = 1e-4
# Multiples of the median squared distance that serve as squared bandwidths.
_FACTORS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
# Control cells that bandwidths are computed from.
_FOR_BANDWIDTHS = 500


class Network(nn.Module):
    """A causal variational autoencoder: z ~ q(z | x), u = (z + sum of the shifts of targets) (I - A)^-1, u decoded."""

    centre: torch.Tensor  # mean expression of control cells, per gene: what the encoder subtracts
    offset: torch.Tensor  # and the decoder adds
    mask: torch.Tensor  # edges of the graph: latent x latent, strictly upper triangular
    features: torch.Tensor  # of the targets that are trained on, targets x features
    own: torch.Tensor  # targets x latent: ones where a latent dimension is named after the target

    def __init__(
        self, config: Config, centre: torch.Tensor, mask: torch.Tensor, features: torch.Tensor, own: torch.Tensor
    ):
        super().__init__()
        n_latent, n_genes, n_targets = len(mask), len(centre), len(features)
        # They are two, as files of version 0.1.0 hold another offset; predicted changes do not depend on it.
        buffers = {"centre": centre, "offset": centre.clone(), "mask": mask.float(), "features": features, "own": own}
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer)
        self.encoder = _layers([n_genes, *config.hidden])
        self.to_mean = nn.Linear(config.hidden[-1], n_latent)
        self.to_variance = nn.Linear(config.hidden[-1], n_latent)
        self.decoder = nn.Sequential(*_layers([n_latent, *config.hidden[::-1]]), nn.Linear(config.hidden[0], n_genes))
        self.edges = nn.Parameter(torch.randn(n_latent, n_latent) * config.coupling / n_latent**0.5)
        self.own_weight = nn.Parameter(torch.ones(1))
        self.free = config.code == "neighbours"
        if self.free:
            self.codes = nn.Parameter(torch.zeros(n_targets, n_latent))
        else:
            widths = [features.shape[1], *config.code_hidden]
            self.code = nn.Sequential(*_layers(widths, config.dropout), nn.Linear(widths[-1], n_latent))
            self.strength = nn.Parameter(torch.ones(n_targets))

    def encode(self, cells: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and variance of the posterior of z (both cells x latent, or with leading axes)."""
        hidden = self.encoder(cells - self.centre)
        return self.to_mean(hidden), self.to_variance(hidden).exp() + _LEAST_VARIANCE

    def decode(self, latent: torch.Tensor, propagated: torch.Tensor) -> torch.Tensor:
        """Return the expression of z + shifts, given that sum, and the matrix of `propagation`."""
        return self.decoder(latent @ propagated) + self.offset

    def graph(self) -> torch.Tensor:
        """Return A: entry [i, j] is the effect of dimension i on dimension j."""
        return self.edges * self.mask

    def propagation(self) -> torch.Tensor:
        """Return (I - A)^-1 of the triangular graph."""
        same = torch.eye(len(self.mask)).to(self.mask)
        return torch.linalg.solve_triangular(same - self.graph(), same, upper=True, unitriangular=True)

    def directions(self, features: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        """Return the codes in the simplex of targets with these features."""
        return (self.code(features) + self.own_weight.abs() * own).softmax(dim=-1)

    def shifts(self) -> torch.Tensor:
        """Return the shifts of the targets that are trained on (targets x latent)."""
        if self.free:
            return self.codes + self.own_weight * self.own
        return self.strength[:, None] * self.directions(self.features, self.own)

    def optimizer(self, config: Config, learning_rate: float) -> torch.optim.Optimizer:
        """Return the optimiser: only matrices of layers decay; codes and strengths learn faster."""
        layers = [weight for name, weight in self.named_parameters() if name.endswith(".weight")]
        fast = [weight for name, weight in self.named_parameters() if name in {"codes", "strength"}]
        chosen = {id(weight) for weight in (*layers, *fast)}
        rest = [weight for weight in self.parameters() if id(weight) not in chosen]
        groups = [
            {"params": layers, "weight_decay": config.decay},
            {"params": fast, "lr": config.faster * learning_rate, "weight_decay": 0.0},
            {"params": rest, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=learning_rate, eps=config.epsilon)


def _layers(widths: Sequence[int], dropout: float = 0.0) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.LeakyReLU(_SLOPE)]
        if dropout:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)


class Loss(nn.Module):
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
