"""Control and perturbed cells, and how they are drawn for training: groups of cells, gathered from CSR rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from .._training import rows_on

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scipy import sparse

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

    values: sparse.csr_matrix  # log-normalised expression, float32, cells x genes
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

    def __len__(self) -> int:
        return int(self.used.sum())

    def means(self) -> np.ndarray:
        """Return the mean of the control cells, and then of each perturbation that has cells: float32, x genes."""
        # One after the other: in double precision, all of them would be larger than the values.
        found = np.unique(self.perturbation[self.used])
        means = (self.values[self.perturbation == number].mean(axis=0, dtype=np.float64) for number in found)
        return np.concatenate([np.asarray(mean, dtype=np.float32) for mean in means])

    def of(self, rows: np.ndarray) -> Cells:
        """Return some of the cells, which share the values with all."""
        perturbation = np.full_like(self.perturbation, NEITHER)
        perturbation[rows] = self.perturbation[rows]
        return Cells(self.values, perturbation, self.members)


class Sampler:
    """Draws batches of a pass with replacement, control cells in each; what is `fixed` is the same in every pass."""

    def __init__(
        self,
        cells: Cells,
        config: Config,
        n_batches: int,
        n_cells: int,
        n_latent: int,
        device: torch.device,
        rng: np.random.Generator,
        *,
        fixed: bool = False,
    ):
        self._rows = rows_on(cells.values, device)
        used = np.flatnonzero(cells.used)
        order = used[np.argsort(cells.perturbation[used], kind="stable")]
        numbers, self._start, self._count = np.unique(cells.perturbation[order], return_index=True, return_counts=True)
        self._order, self._numbers = order, numbers
        means = torch.from_numpy(cells.means()).to(device)
        self._effects = means - means[0]
        self._members = torch.from_numpy(cells.members.astype(np.float32)).to(device)
        self._device, self._config, self._n_batches = device, config, n_batches
        self._n_cells, self._n_latent = n_cells, n_latent
        self._rng, self._seed = rng, int(rng.integers(2**63)) if fixed else None

    def __call__(self, _order: np.ndarray | None = None) -> Iterator[Batch]:
        """Yield the batches of one pass."""
        rng = self._rng if self._seed is None else np.random.default_rng(self._seed)
        for _ in range(self._n_batches):
            yield self._draw(rng)

    def _draw(self, rng: np.random.Generator) -> Batch:
        n_cells, groups = self._n_cells, self._choose(rng, self._config.groups)
        drawn = rng.random((len(groups), n_cells))
        after = self._order[self._start[groups, None] + (drawn * self._count[groups, None]).astype(int)]
        control = self._order[self._start[0] + (rng.random((len(groups), n_cells)) * self._count[0]).astype(int)]
        noise = rng.standard_normal((len(groups), n_cells, self._n_latent), dtype=np.float32)
        numbers = self._numbers[groups]
        members = self._members[np.maximum(numbers, 0)]
        members = members * torch.from_numpy((numbers >= 0).astype(np.float32)).to(self._device)[:, None]
        return Batch(
            before=self._gather(control),
            after=self._gather(after),
            members=members,
            effect=self._effects[torch.from_numpy(groups).to(self._device)],
            noise=torch.from_numpy(noise).to(self._device),
        )

    def _choose(self, rng: np.random.Generator, n_groups: int) -> np.ndarray:
        """Choose perturbations, the control (which comes first) always among several."""
        chance = self._count**self._config.balance
        if n_groups == 1:
            return rng.choice(len(chance), size=1, p=chance / chance.sum())
        chance = chance[1:] / chance[1:].sum()
        size = n_groups - 1
        others = rng.choice(len(chance), size=size, p=chance, replace=size > len(chance))
        return np.concatenate([[0], others + 1])

    def _gather(self, rows: np.ndarray) -> torch.Tensor:
        return self._rows(rows.ravel()).unflatten(0, rows.shape)
