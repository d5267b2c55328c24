"""Several SCCVAEs of one screen as one model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from ._model import model_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._config import Config
    from ._model import Model

# Arrays of a model that have nothing to do with its cells or with chance.
SHARED = ("features", "node", "trained")


@dataclass(frozen=True)
class Ensemble:
    """Models whose predicted changes are averaged; its latent space is that of the members side by side.

    Attributes
    ----------
    members
        Of one configuration, and with the same genes to perturb.
    """

    members: tuple[Model, ...]

    @cached_property
    def own(self) -> np.ndarray:
        """Per gene, the mean change of its own expression when it is perturbed; NaN where that is not known."""
        return np.mean([member.own for member in self.members], axis=0)

    @cached_property
    def level(self) -> torch.Tensor:
        """Mean expression of the control cells that were trained on, one value per gene."""
        return torch.stack([member.network.centre for member in self.members]).mean(dim=0)

    def shifts(self, genes: np.ndarray) -> torch.Tensor:
        """Return the shifts of genes, by number: n x (members x latent)."""
        return torch.cat([member.shifts(genes) for member in self.members], dim=1)

    def propagated(self, shifts: torch.Tensor) -> torch.Tensor:
        """Return how far shifts move the causal variables through the graph of each member, n x (members x latent).

        Divided by the root of the number of members, so that lengths and angles are means over these.
        """
        parts = zip(self.members, self._split(shifts), strict=True)
        return torch.cat([member.propagated(part) for member, part in parts], dim=1) / self._root

    def length(self, shift: torch.Tensor) -> float:
        """Return the length of one shift, the root mean square over the members."""
        return float(shift.norm()) / self._root

    @property
    def _root(self) -> float:
        return len(self.members) ** 0.5

    def changes(self, cells: torch.Tensor, shifts: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        """Return the change of control cells with each shift, the mean over the members (n x cells x genes).

        Parameters
        ----------
        cells, shifts, noise
            As for :meth:`Model.changes`, with the latent dimensions of all members side by side.
        """
        draws = [None] * len(self.members) if noise is None else self._split(noise)
        total = torch.zeros(len(shifts), *cells.shape, device=cells.device)
        # One member after the other, as what each says is as large as what is returned.
        for member, shift, draw in zip(self.members, self._split(shifts), draws, strict=True):
            total += member.changes(cells, shift, draw)
        return total.div_(len(self.members))

    def _split(self, values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return values.chunk(len(self.members), dim=-1)

    def to(self, device: torch.device) -> Ensemble:
        """Return the models on a device."""
        return Ensemble(tuple(member.to(device) for member in self.members))

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """All that :func:`ensemble_of` needs beside the configuration; what members differ in along the first axis."""
        of_members = [member.arrays for member in self.members]
        return {
            name: shared if name in SHARED else np.stack([arrays[name] for arrays in of_members])
            for name, shared in of_members[0].items()
        }


def ensemble_of(config: Config, arrays: Mapping[str, np.ndarray]) -> Ensemble:
    """Return the models of :attr:`Ensemble.arrays`, or the one of arrays that know of no members."""
    alone = np.ndim(arrays["strength"]) == 1
    own = {name: array[None] if alone else array for name, array in arrays.items() if name not in SHARED}
    shared = {name: arrays[name] for name in SHARED}
    of_members = (
        shared | {name: array[number] for name, array in own.items()} for number in range(len(own["strength"]))
    )
    return Ensemble(tuple(model_of(config, arrays) for arrays in of_members))
