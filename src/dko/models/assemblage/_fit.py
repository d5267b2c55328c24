"""Fitting the assemblage model to profiles."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..._rng import torch_seed
from ..._settings import settings
from .._batches import batches
from .._training import Schedule, Trained, train
from ._gradient import descend
from ._loss import profile_distance
from ._network import AssemblageNetwork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from scipy import sparse

    from ._affine import AffineMap


@dataclass(frozen=True)
class Fit:
    """A fitted map and how training went."""

    affine: AffineMap
    trained: Trained


def loss(network: torch.nn.Module, profiles: torch.Tensor) -> torch.Tensor:
    """Bray-Curtis dissimilarity of predicted and observed profile, per cell (cells,)."""
    return profile_distance(network(profiles.sign()), profiles)


def fit(
    training: sparse.csr_matrix,
    validation: sparse.csr_matrix,
    schedule: Schedule,
    *,
    device: torch.device,
    rng: np.random.Generator,
    init: AffineMap | None = None,
    progress: bool = True,
    label: str = "fit",
) -> Fit:
    """Fit profiles from assemblages.

    Parameters
    ----------
    training, validation
        Relative profiles, cells x genes, float32, no cell empty; the assemblage is where they are above 0.
    init
        A fitted map to start from, on the same genes.

    Returns
    -------
    The map with the best validation loss, and the history.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(torch_seed(rng))
        network = AssemblageNetwork(training.shape[1])
    if init is None:
        network.forget(np.flatnonzero(np.bincount(training.indices, minlength=training.shape[1]) == 0))
    else:
        network.start_from(init)
    network = network.to(device)
    trained = train(
        network,
        loss,
        partial(batches, training, schedule.batch_size, device),
        _held_out(validation, schedule.batch_size * 8, device),
        training.shape[0],
        schedule,
        device=device,
        rng=rng,
        progress=progress,
        label=label,
        descend=descend,
    )
    return Fit(network.affine(), trained)


def _held_out(
    validation: sparse.csr_matrix, batch_size: int, device: torch.device
) -> Callable[[np.ndarray | None], Iterable[torch.Tensor]]:
    """Return the validation batches: made once if they fit the memory budget, else anew at each validation."""
    make = partial(batches, validation, batch_size, device)
    if 4 * validation.shape[0] * validation.shape[1] > settings.memory_budget:
        return make
    dense = list(make())
    return lambda order: dense
