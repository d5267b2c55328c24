"""Training an SCCVAE."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ..._rng import torch_seed
from .._batches import batches
from .._training import Schedule, Trained, train
from ._cells import Batch, Cells, Sampler
from ._loss import effect_distance, gaussian_kl, grouped_mmd, median_bandwidths, pair_distance
from ._model import Model, own_dimensions
from ._network import Network
from ._own import own_changes

if TYPE_CHECKING:
    from collections.abc import Callable

    from scipy import sparse

    from ._config import Config

# Control cells that bandwidths are had from.
_FOR_BANDWIDTHS = 500
# With few cells a pass is short, and validation after each would cost more than training.
_FEWEST_BATCHES = 50
_VALIDATION_BATCHES = 12
_CLIP = 1.0
# Cells that are encoded at a time after training.
_BLOCK = 1024


class Objective:
    """The loss of a batch, one number per group; the divergence counts in full once training has warmed up.

    Parameters
    ----------
    config
        The weights of the terms.
    bandwidths
        Of the kernels of the discrepancy.
    columns
        Column of each training target, -1 for those that are not measured: what happens to the transcript that is
        perturbed itself is no consequence of the shift, and similar targets would inherit it.
    n_warm
        Steps over which the weight of the divergence rises.
    """

    def __init__(self, config: Config, bandwidths: torch.Tensor, columns: np.ndarray, n_warm: int):
        self._config, self._bandwidths, self._n_warm = config, bandwidths, n_warm
        self._measured = torch.from_numpy(np.flatnonzero(columns >= 0)).to(bandwidths.device)
        self._columns = torch.from_numpy(columns[columns >= 0]).to(bandwidths.device)
        self._step = 0

    def __call__(self, network: Network, batch: Batch) -> torch.Tensor:
        """Return the loss of each group."""
        config = self._config
        mean, variance = network.encode(batch.before)
        latent = mean + variance.sqrt() * batch.noise
        propagated = network.propagation()
        shift = (batch.members @ network.shifts())[:, None]
        after = network.decode(latent + shift, propagated)
        # A quarter of the cells is enough, and a third of the time less.
        some = max(1, latent.shape[1] // 4)
        before = network.decode(latent[:, :some], propagated)
        return (
            config.reconstruction * pair_distance(before, batch.before[:, :some])
            + self._distance(before, after, batch)
            + self._weight_of_divergence(network.training) * gaussian_kl(mean, variance).mean(dim=1)
            + config.mmd * grouped_mmd(after, batch.after, self._bandwidths)
            + config.sparsity * network.graph().abs().sum()
        )

    def _distance(self, before: torch.Tensor, after: torch.Tensor, batch: Batch) -> torch.Tensor:
        if self._config.pairing == "random":
            return pair_distance(after, batch.after)
        counted = torch.ones_like(batch.effect)
        counted[:, self._columns] = 1 - batch.members[:, self._measured]
        return self._config.effect * effect_distance(before, after[:, : before.shape[1]], batch.effect, counted)

    def _weight_of_divergence(self, training: bool) -> float:
        if not training:
            return self._config.kl
        self._step += 1
        return self._config.kl * min(1.0, self._step / max(1, self._n_warm))


def fit(
    training: Cells,
    validation: Cells,
    features: np.ndarray,
    targets: np.ndarray,
    columns: np.ndarray,
    mask: np.ndarray,
    node: np.ndarray,
    config: Config,
    schedule: Schedule,
    *,
    device: torch.device,
    rng: np.random.Generator,
    label: str = "fit",
) -> tuple[Model, Trained]:
    """Train on perturbed and control cells.

    Parameters
    ----------
    training, validation
        Cells, with the same perturbations and targets; both have control cells.
    features
        Of all genes that can be perturbed, genes x features, float32.
    targets
        Which of these genes each training target is.
    columns
        Column of the values of each of these genes, -1 for genes that are not measured.
    mask
        Latent x latent, boolean, strictly upper triangular.
    node
        The latent dimension of each gene that has one, -1 for the others.
    config, schedule
        What to train, and how long.

    Returns
    -------
    The model with the best validation loss, on the CPU, with strengths of 1 (see :func:`strengths`), and the history.
    """
    n_latent, n_targets = len(mask), len(targets)
    control = training.values[training.control]
    centre = torch.from_numpy(np.asarray(control.mean(axis=0), dtype=np.float32).ravel())
    of_genes = torch.tensor(features)  # a copy: these may be the user's own
    own = own_dimensions(node[targets], n_latent)
    seed = torch_seed(rng)
    per_batch = config.groups * config.cells
    n_batches = max(_FEWEST_BATCHES, len(training) // per_batch)
    # Drawing and dropout have the random state of torch to themselves, and leave it as it was.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        network = Network(config, centre, torch.from_numpy(mask), of_genes[torch.from_numpy(targets)], own).to(device)
        n_steps = schedule.n_steps(n_batches * per_batch)
        bandwidths = _bandwidths(config, training, rng).to(device)
        objective = Objective(config, bandwidths, columns[targets], round(config.warm_up * n_steps))
        trained = train(
            network,
            objective,
            Sampler(training, config, n_batches, n_latent, device, rng),
            Sampler(validation, config, _VALIDATION_BATCHES, n_latent, device, rng, fixed=True),
            n_batches * per_batch,
            schedule,
            device=device,
            rng=rng,
            descend=_descend_with(objective),
            optimizer=lambda network: torch.optim.AdamW(
                network.parameter_groups(schedule.learning_rate, config.decay, config.faster),
                lr=schedule.learning_rate,
                eps=config.epsilon,
            ),
            label=label,
        )
    # Training has left it on the CPU.
    network.to(device).eval()
    latent = _posterior_means(network, control, device)
    trained_as = np.full(len(features), -1)
    trained_as[targets] = np.arange(n_targets)
    model = Model(
        config=config,
        network=network.to("cpu"),
        features=of_genes,
        coexpression=_coexpression(latent.cpu().numpy(), control, columns),
        node=node,
        trained=trained_as,
        strength=np.ones(len(features), dtype=np.float32),
        own=own_changes(training, columns, targets),
    )
    return model, trained


def _descend_with(objective: Objective) -> Callable[[Network, Batch], torch.Tensor]:
    def descend(network: Network, batch: Batch) -> torch.Tensor:
        loss = objective(network, batch).mean()
        network.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
        return loss.detach()

    return descend


def _bandwidths(config: Config, training: Cells, rng: np.random.Generator) -> torch.Tensor:
    if config.bandwidths is not None:
        return torch.tensor(config.bandwidths)
    some = rng.permutation(training.control)[:_FOR_BANDWIDTHS]
    return median_bandwidths(torch.from_numpy(training.values[some].toarray()))


@torch.no_grad()
def _posterior_means(network: Network, cells: sparse.csr_matrix, device: torch.device) -> torch.Tensor:
    return torch.cat([network.encode(block)[0] for block in batches(cells, _BLOCK, device)])


def _coexpression(latent: np.ndarray, cells: sparse.csr_matrix, columns: np.ndarray) -> torch.Tensor:
    """Return the directions, of length 1, of cells that express less of a gene; zeros for genes that are not measured.

    Covariances of the posterior means with the expression of each gene.
    """
    centred = latent - latent.mean(axis=0)
    directions = np.zeros((len(columns), latent.shape[1]), dtype=np.float32)
    measured = columns >= 0
    directions[measured] = -(cells.T @ centred)[columns[measured]]
    return torch.nn.functional.normalize(torch.from_numpy(directions), dim=1)
