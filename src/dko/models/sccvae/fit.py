"""Training SCCVAEs on one screen, and how strong perturbations are that they have not seen."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from ..._core.messages import logger
from ..._rng import torch_seed
from .._devices import fabric_on, on_devices
from .._training import Trained, loader, share_of, train
from ..fitting import Schedule
from ..rows import Rows, View, blocks_of, mean_of
from .config import Config
from .ensemble import Ensemble, Member
from .network import Loss, Network, bandwidths_of
from .sampler import Cells, sampler
from .targets import Targets

# With few cells a pass is short, and validation after each would cost more than training.
_FEWEST_BATCHES = 50
_VALIDATION_BATCHES = 12
# Cells that are encoded at a time after training.
_BLOCK = 1024
# Bytes of what is made of an entry of a cell.
_PER_ENTRY = 16
# Fewer perturbations say nothing of others.
_FEWEST = 5
_LARGEST = 2.0
# Control cells that an effect is predicted in.
_N_CELLS = 256
# Of networks from features to directions, each trained on all targets but those of a fold.
_FOLDS, _STEPS, _LEARNING_RATE = 5, 100, 1e-2


def fit(
    training: Cells,
    validation: Cells,
    targets: Targets,
    config: Config,
    schedule: Schedule,
    *,
    device: torch.device,
    rng: np.random.Generator,
    label: str = "fit",
) -> tuple[Member, Trained]:
    """Train one SCCVAE; of the best validation loss, on the CPU, with strengths of 1 (see :func:`with_strength`)."""
    control = training.of_control()
    centre = torch.from_numpy(mean_of(control).astype(np.float32))
    mask, node = torch.from_numpy(targets.mask), targets.node[targets.trained]
    features = torch.from_numpy(targets.features[targets.trained])
    named = torch.from_numpy(node[:, None] == np.arange(len(mask))).float()
    seed, n_rows = torch_seed(rng), schedule.batch_size
    n_cells, n_batches = n_rows // config.groups, max(_FEWEST_BATCHES, int(training.used.sum()) // n_rows)
    fabric = fabric_on(device, schedule)
    device, share = fabric.device, share_of(fabric)
    # Drawing and dropout have the random state of torch to themselves, and leave it as it was.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        network = Network(config, centre, mask, features, named).to(device)
        n_warm = round(config.warm_up * schedule.n_steps(n_batches * n_rows))
        bandwidths = bandwidths_of(config, training, rng).to(device)
        trained = train(
            Loss(network, config, bandwidths, targets.columns[targets.trained], n_warm),
            network.optimizer(config, schedule.learning_rate),
            sampler(training, config, n_batches, n_cells, device, rng, share),
            sampler(validation, config, _VALIDATION_BATCHES, n_cells, device, rng, share, fixed=True),
            n_batches * n_rows,
            schedule,
            fabric=fabric,
            rng=rng,
            label=label,
        )
    # Training has left it on the CPU.
    network = network.to(device).eval()
    with torch.no_grad():
        means = [network.encode(block)[0].cpu() for block in loader(control, _BLOCK, device)(None)]
    trained_as = np.full(len(targets.features), -1)
    trained_as[targets.trained] = np.arange(len(targets.trained))
    member = Member(
        config=config,
        network=network.to("cpu"),
        features=targets.features.copy(),  # these may be the user's own
        coexpression=_coexpression(torch.cat(means).numpy(), control, targets.columns),
        node=targets.node,
        trained=trained_as,
        strength=np.ones(len(trained_as), dtype=np.float32),
        own=on_target_effects(training, targets.columns, targets.trained),
    )
    return member, trained


def fit_members(
    cells: Cells,
    validations: Sequence[np.ndarray],
    targets: Targets,
    config: Config,
    schedule: Schedule,
    *,
    device: torch.device,
    rng: np.random.Generator,
) -> tuple[Ensemble, list[pd.DataFrame]]:
    """Train a member per set of validation cells on all others; Ctrl-C leaves the complete ones, or else the first."""
    fits: list[tuple[Member, Trained]] = []
    n_members = len(validations)
    rows = np.flatnonzero(cells.used)
    for number, (validation, own) in enumerate(zip(validations, rng.spawn(n_members), strict=True), start=1):
        training = cells.of(np.setdiff1d(rows, validation))
        label = "fit" if n_members == 1 else f"fit {number}/{n_members}"
        try:
            args = (training, cells.of(validation), targets, config)
            found = on_devices(fit, *args, device=device, schedule=schedule, rng=own, label=label)
        except KeyboardInterrupt:
            # Before its first validation a member has no weights worth keeping; those before it have.
            if not fits:
                raise
            break
        if not found[1].interrupted or not fits:
            fits.append(found)
        if found[1].interrupted:
            break
    if len(fits) < n_members:
        what = "the first, as far as it came" if fits[0][1].interrupted else "those that were trained to the end"
        logger.warning("Stopped by the user: the model has %d of %d members: %s.", len(fits), n_members, what)
    return Ensemble(tuple(member for member, _ in fits)), [trained.history for _, trained in fits]


def _coexpression(latent: np.ndarray, cells: Rows, columns: np.ndarray) -> np.ndarray:
    """Return the directions of cells that express less of a gene, by covariances; zeros for genes not measured."""
    centred = latent - latent.mean(axis=0)
    products = sum(block.T @ centred[rows] for rows, block in blocks_of(cells, _PER_ENTRY))
    directions = np.zeros((len(columns), latent.shape[1]), dtype=np.float32)
    measured = columns >= 0
    directions[measured] = -np.asarray(products)[columns[measured]]
    return torch.nn.functional.normalize(torch.from_numpy(directions), dim=1).numpy()


def on_target_effects(training: Cells, columns: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the change of each gene when it is perturbed itself (log-normalised mean, float32; NaN: not known).

    Of training `targets` as measured; of other genes the median share of the mean that targets lose or, where
    perturbations raise their targets, the median rise.
    """
    means = training.means()
    control, changes = means[0], means[1:] - means[0]
    members = training.members[np.unique(training.perturbation[training.perturbation >= 0])]
    of = targets[members.argmax(axis=1)]
    alone = (members.sum(axis=1) == 1) & (columns[of] >= 0)
    of, change = of[alone], changes[alone, columns[of[alone]]]
    own = np.full(len(columns), np.nan, dtype=np.float32)
    if not len(of):
        return own
    level = np.where(columns >= 0, control[columns], np.nan)
    if np.median(change) > 0:
        own[columns >= 0] = np.median(change)
    else:
        expressed = level[of] > 0
        share = change[expressed] / level[of[expressed]]
        own[:] = level * (np.median(share) if len(share) else 0.0)
    own[of] = change
    return own


def with_strength(ensemble: Ensemble, training: Cells, columns: np.ndarray, rng: np.random.Generator) -> Ensemble:
    """Return an ensemble with the strength of shifts of genes that it was not trained on: docs/sccvae.md, Strength."""
    member = ensemble.members[0]
    there = np.isin(np.arange(len(training.members)), training.perturbation)
    perturbations = np.flatnonzero((training.members.sum(axis=1) == 1) & there)
    trained = np.flatnonzero(member.trained >= 0)
    genes = trained[np.argsort(member.trained[trained])][training.members[perturbations].argmax(axis=1)]
    if len(genes) < _FEWEST:
        return ensemble
    control = training.of_control()
    mean = mean_of(control)
    cells = torch.from_numpy(control[rng.permutation(control.shape[0])[:_N_CELLS]].toarray())
    # Those that training targets would have if they were unseen, with strength 1.
    left_out = [
        member.unseen(genes, leave_out=True).detach()
        if member.network.free
        else _cross_fitted(member.network, member.config, rng)[torch.from_numpy(member.trained[genes])]
        for member in ensemble.members
    ]
    shifts = torch.cat(left_out, dim=1)
    both = squares = 0.0
    for perturbation, gene, shift in zip(perturbations, genes, shifts, strict=True):
        predicted = ensemble.changes(cells, shift[None], None)[0].mean(dim=0).numpy()
        measured = mean_of(View(training.values, np.flatnonzero(training.perturbation == perturbation))) - mean
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
