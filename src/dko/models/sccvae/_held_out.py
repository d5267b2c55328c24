"""Shifts of training targets, each predicted from the other targets alone."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..._rng import torch_seed
from ._model import unseen_shifts

if TYPE_CHECKING:
    from ._model import Model
    from ._network import Network

_FOLDS = 5
_STEPS, _LEARNING_RATE = 100, 1e-2


def held_out_shifts(model: Model, genes: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
    """Return the shifts that training targets would have if they were unseen, with strength 1 (n x latent).

    Encoder, decoder and the shifts of the other targets stay those of the model. With the code ``"neighbours"`` a
    target is left out of the mean over its neighbours; with a network from features to directions, a new network
    is trained on the directions of the other targets.

    Parameters
    ----------
    genes
        Training targets, by the number of the gene.
    rng
        Decides which targets are left out together, and how such a network starts.
    """
    if len(model.network.features) < 2:
        return unseen_shifts(model, genes).detach()
    if model.config.code == "neighbours":
        return unseen_shifts(model, genes, leave_out=True).detach()
    return _cross_fitted(model.network, model.config.decay, rng)[torch.from_numpy(model.trained[genes])]


def _cross_fitted(network: Network, decay: float, rng: np.random.Generator) -> torch.Tensor:
    """Return the direction of each training target, predicted by a network that was trained on the other folds."""
    features, own, n = network.features, network.own, len(network.features)
    known = network.directions(features, own).detach()
    found = torch.empty_like(known)
    n_folds = min(_FOLDS, n)
    folds = torch.from_numpy(rng.permutation(n) % n_folds)
    seed = torch_seed(rng)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for fold in range(n_folds):
            out, rest = folds == fold, folds != fold
            other = deepcopy(network)
            other.code.apply(_start_anew)
            optimizer = torch.optim.AdamW(other.code.parameters(), lr=_LEARNING_RATE, weight_decay=decay)
            other.train()
            for _ in range(_STEPS):
                loss = (other.directions(features[rest], own[rest]) - known[rest]).square().sum(dim=1).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            found[out] = other.eval().directions(features[out], own[out]).detach()
    return found


def _start_anew(layer: torch.nn.Module) -> None:
    if isinstance(layer, torch.nn.Linear):
        layer.reset_parameters()
