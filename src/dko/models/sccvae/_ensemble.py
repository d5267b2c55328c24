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

    def predict(self, cells: torch.Tensor, shifts: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Return control cells as the first member reconstructs them, and changed as the members say on average.

        A mean of the cells that the members decode, each with a draw of its own, would vary far less than cells do.

        Parameters
        ----------
        cells, shifts, noise
            As for :meth:`Model.predict`, with the latent dimensions of all members side by side.

        Returns
        -------
        (1 + n) x cells x genes; the first are those without a shift.
        """
        found: torch.Tensor | None = None
        # One member after the other, as what each says is as large as what is returned.
        for member, shift, draw in zip(self.members, self._split(shifts), self._split(noise), strict=True):
            decoded = member.predict(cells, torch.cat([torch.zeros_like(shift[:1]), shift]), draw)
            decoded[1:] -= decoded[:1]
            if found is None:
                found = decoded
            else:
                found[1:] += decoded[1:]
            # Or it would still be there while the next is made.
            del decoded
        assert found is not None, "an ensemble has members"
        found[1:] /= len(self.members)
        found[1:] += found[:1]
        return found

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
