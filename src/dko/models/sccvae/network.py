"""The network: encoder, code of a perturbation, causal model of the latent space, decoder."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .config import Config


_SLOPE = 0.2
# Variances of the posterior are at least this.
_LEAST_VARIANCE = 1e-4


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
        """Return (I - A)^-1 of the triangular graph: (I + A)(I + A^2)(I + A^4) ..., on every device."""
        power, reached = self.graph(), 2
        total = torch.eye(len(power), dtype=power.dtype, device=power.device) + power
        while reached < len(power):
            power = power @ power
            total = total + total @ power
            reached *= 2
        return total

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
