"""How strong unseen perturbations are, from the perturbations of the training cells alone."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..._core.messages import logger
from ..._rng import torch_seed

if TYPE_CHECKING:
    from .config import Config
    from .ensemble import Ensemble, Member
    from .network import Network
    from .sampler import Cells


# Fewer perturbations say nothing of others.
_FEWEST = 5
_LARGEST = 2.0
# Control cells that an effect is predicted in.
_N_CELLS = 256
# Of networks from features to directions, each trained on all targets but those of a fold.
_FOLDS, _STEPS, _LEARNING_RATE = 5, 100, 1e-2


def with_strength(ensemble: Ensemble, training: Cells, columns: np.ndarray, rng: np.random.Generator) -> Ensemble:
    """Return an ensemble with the strength of shifts of genes that it was not trained on: docs/sccvae.md, Strength."""
    member = ensemble.members[0]
    there = np.isin(np.arange(len(training.members)), training.perturbation)
    perturbations = np.flatnonzero((training.members.sum(axis=1) == 1) & there)
    trained = np.flatnonzero(member.trained >= 0)
    genes = trained[np.argsort(member.trained[trained])][training.members[perturbations].argmax(axis=1)]
    if len(genes) < _FEWEST:
        return ensemble
    control = training.values[training.control]
    mean = np.asarray(control.mean(axis=0)).ravel()
    cells = torch.from_numpy(control[rng.permutation(control.shape[0])[:_N_CELLS]].toarray())
    shifts = torch.cat([left_out_shifts(member, genes, rng) for member in ensemble.members], dim=1)
    both = squares = 0.0
    for perturbation, gene, shift in zip(perturbations, genes, shifts, strict=True):
        predicted = ensemble.changes(cells, shift[None], None)[0].mean(dim=0).numpy()
        own = training.values[np.flatnonzero(training.perturbation == perturbation)]
        measured = np.asarray(own.mean(axis=0)).ravel() - mean
        # The transcript of the target itself says nothing of what follows.
        if columns[gene] >= 0:
            predicted[columns[gene]] = 0.0
        both += float(predicted @ measured)
        squares += float(predicted @ predicted)
    factor = float(np.clip(both / squares, 0.0, _LARGEST)) if squares else 1.0
    if factor == 0:
        logger.warning(
            "With these features, the effects of training perturbations cannot be predicted from each other, so "
            "perturbations that were not trained on are predicted to do nothing; give other features=..."
        )
    strength = np.full(len(columns), factor, dtype=np.float32)
    return replace(ensemble, members=tuple(replace(member, strength=strength) for member in ensemble.members))


def left_out_shifts(member: Member, genes: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
    """Return the shifts that training targets would have if they were unseen, with strength 1 (n x latent)."""
    if member.network.free:
        return member.unseen(genes, leave_out=True).detach()
    return _cross_fitted(member.network, member.config, rng)[torch.from_numpy(member.trained[genes])]


def _cross_fitted(network: Network, config: Config, rng: np.random.Generator) -> torch.Tensor:
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
            for layer in other.code:
                if isinstance(layer, torch.nn.Linear):
                    layer.reset_parameters()
            optimizer = torch.optim.AdamW(other.code.parameters(), lr=_LEARNING_RATE, weight_decay=config.decay)
            other.train()
            for _ in range(_STEPS):
                loss = (other.directions(features[rest], own[rest]) - known[rest]).square().sum(dim=1).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            found[out] = other.eval().directions(features[out], own[out]).detach()
    return found
