"""Control and perturbed cells, and how they are drawn for training: groups of cells, gathered from CSR rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from .._training import Loader, Share, rows_on, streamed
from ..rows import Rows, View, mean_of
from .config import Config


class Batch(NamedTuple):
    """Groups of cells of one perturbation each."""

    before: torch.Tensor  # control cells, groups x cells x genes
    after: torch.Tensor  # as many cells of the perturbation of each group
    members: torch.Tensor  # which targets this has, groups x targets; zeros for the control
    effect: torch.Tensor  # difference of the means of all its cells and all control cells, groups x genes
    noise: torch.Tensor  # standard normal, groups x cells x latent


CONTROL, NEITHER = -1, -2


@dataclass(frozen=True)
class Cells:
    """Cells of perturbations, and which targets these have."""

    values: Rows  # log-normalised expression, float32, cells x genes
    perturbation: np.ndarray  # its number, CONTROL for control cells, NEITHER for cells to be passed over
    members: np.ndarray  # perturbations x targets, boolean: a perturbation of several genes has several

    @property
    def control(self) -> np.ndarray:
        """Rows of the control cells."""
        return np.flatnonzero(self.perturbation == CONTROL)

    @property
    def used(self) -> np.ndarray:
        """Which cells are not passed over."""
        return self.perturbation != NEITHER

    def of_control(self) -> View:
        """Return the control cells."""
        return View(self.values, self.control)

    def means(self) -> np.ndarray:
        """Return the mean of the control cells, and then of each perturbation that has cells: float32, x genes."""
        # One after the other: in double precision, all of them would be larger than the values.
        found = np.unique(self.perturbation[self.used])
        rows = (View(self.values, np.flatnonzero(self.perturbation == number)) for number in found)
        return np.stack([mean_of(some).astype(np.float32) for some in rows])

    def of(self, rows: np.ndarray) -> Cells:
        """Return some of the cells, which share the values with all."""
        perturbation = np.full_like(self.perturbation, NEITHER)
        perturbation[rows] = self.perturbation[rows]
        return Cells(self.values, perturbation, self.members)


def sampler(
    cells: Cells,
    config: Config,
    n_batches: int,
    n_cells: int,
    device: torch.device,
    rng: np.random.Generator,
    share: Share = lambda batch: batch,
    *,
    fixed: bool = False,
) -> Loader:
    """Return what draws the batches of a pass, with replacement; what is `fixed` is the same in every pass.

    Of several processes, each has a `share` of the perturbations of a batch.
    """
    rows = rows_on(cells.values, device)
    used = np.flatnonzero(cells.used)
    order = used[np.argsort(cells.perturbation[used], kind="stable")]
    numbers, start, count = np.unique(cells.perturbation[order], return_index=True, return_counts=True)
    means = torch.from_numpy(cells.means()).to(device)
    effects, chance = means - means[0], count**config.balance
    members = cells.members[np.maximum(numbers, 0)] & (numbers >= 0)[:, None]
    members_of = torch.from_numpy(members.astype(np.float32)).to(device)
    seed = int(rng.integers(2**63)) if fixed else None

    def choose(rng: np.random.Generator) -> np.ndarray:
        """Choose perturbations, the control (which comes first) always among several."""
        if config.groups == 1:
            return rng.choice(len(chance), size=1, p=chance / chance.sum())
        others, size = chance[1:] / chance[1:].sum(), config.groups - 1
        chosen = rng.choice(len(others), size=size, p=others, replace=size > len(others))
        return np.concatenate([[0], chosen + 1])

    def gather(entries: np.ndarray) -> torch.Tensor:
        return rows(order[entries].ravel()).unflatten(0, entries.shape)

    def draw(rng: np.random.Generator) -> Batch:
        groups = choose(rng)
        shape, some = (len(groups), n_cells), share(np.arange(len(groups)))
        after = start[groups, None] + (rng.random(shape) * count[groups, None]).astype(int)
        control = start[0] + (rng.random(shape) * count[0]).astype(int)
        noise = torch.from_numpy(rng.standard_normal((*shape, config.n_latent), dtype=np.float32)[some]).to(device)
        places = torch.from_numpy(groups[some]).to(device)
        return Batch(gather(control[some]), gather(after[some]), members_of[places], effects[places], noise)

    def load(_order: np.ndarray | None = None) -> Iterator[Batch]:
        own = rng if seed is None else np.random.default_rng(seed)
        return streamed((draw(own) for _ in range(n_batches)), cells.values)

    return load
