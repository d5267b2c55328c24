"""Trained SCCVAEs: the shift of any target, and by how much cells change with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from .config import Config
from .network import Network

_STATE = "network."
# Arrays of a row per gene.
_OF_GENES = ("features", "coexpression", "node", "trained", "strength", "own")
# Arrays of a model that have nothing to do with its cells or with chance, and are the same for all members.
SHARED = ("features", "node", "trained")
# No layer is wider; the number of the entries of a matrix of this size fits into 64 bits.
_WIDEST = 2**24
# Features whose cosines differ by less are all alike.
_ALIKE = 1e-6


@dataclass(frozen=True)
class Member:
    """One fit, which predicts perturbations of any gene that has features; arrays have a row per such gene."""

    config: Config
    network: Network
    features: np.ndarray
    coexpression: np.ndarray  # the direction, of length 1, of cells that express less of it; zeros where unknown
    node: np.ndarray  # the latent dimension that is named after it, -1 for none
    trained: np.ndarray  # which row of the trained targets it is, -1 for those that were not trained on
    strength: np.ndarray  # what the shift of an untrained one is multiplied with
    own: np.ndarray  # on-target effect: the change of its own expression when it is perturbed; NaN where unknown

    @torch.no_grad()
    def shifts(self, genes: np.ndarray) -> torch.Tensor:
        """Return the shifts of genes, by number (n x latent): as trained, or as features say times the strength."""
        found = self.unseen(genes) * self._tensor(self.strength[genes])[:, None]
        known = np.flatnonzero(self.trained[genes] >= 0)
        found[torch.from_numpy(known)] = self.network.shifts()[torch.from_numpy(self.trained[genes[known]])]
        return found

    def unseen(self, genes: np.ndarray, *, leave_out: bool = False) -> torch.Tensor:
        """Return the shifts by features (n x latent), also of trained targets, each left out itself if asked."""
        network, features = self.network, self._tensor(self.features[genes])
        own = self._tensor(self.node[genes, None] == np.arange(len(network.mask)))
        if not network.free:
            return network.directions(features, own)
        left = torch.from_numpy(self.trained[genes]) if leave_out else None
        shifts = neighbour_shifts(features, network.features, network.codes, left_out=left)
        direction = self._tensor(self.coexpression[genes])
        along = self.config.coexpression * shifts.norm(dim=1, keepdim=True) * direction
        return shifts + along + network.own_weight * own

    def _tensor(self, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(self.network.mask.device)

    @torch.no_grad()
    def changes(self, cells: torch.Tensor, shifts: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        """Return changes of control cells with each shift, n x cells x genes; `noise` None: mean posterior."""
        mean, variance = self.network.encode(cells)
        latent = mean if noise is None else mean + variance.sqrt() * noise
        propagated = self.network.propagation()
        after = self.network.decode(latent + shifts[:, None], propagated)
        return after.sub_(self.network.decode(latent, propagated))

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """All that :meth:`from_arrays` needs beside the configuration."""
        state = {_STATE + name: value.cpu().numpy() for name, value in self.network.state_dict().items()}
        return state | {name: getattr(self, name) for name in _OF_GENES}

    @classmethod
    def from_arrays(cls, config: Config, arrays: Mapping[str, np.ndarray]) -> Member:
        """Return the model of :attr:`arrays`."""
        state = {
            name.removeprefix(_STATE): torch.from_numpy(np.array(array))
            for name, array in arrays.items()
            if name.startswith(_STATE)
        }
        with torch.random.fork_rng(devices=[]):
            network = Network(config, *(state[name] for name in ("centre", "mask", "features", "own")))
        network.load_state_dict(state)
        return cls(config, network.eval(), **{name: arrays[name] for name in _OF_GENES})


@dataclass(frozen=True)
class Ensemble:
    """Members whose predicted changes are averaged; its latent space is that of the members side by side."""

    members: tuple[Member, ...]

    @cached_property
    def own(self) -> np.ndarray:
        """On-target effect per gene: the mean change of its own expression when it is perturbed; NaN where unknown."""
        return np.mean([member.own for member in self.members], axis=0)

    @cached_property
    def level(self) -> torch.Tensor:
        """Mean expression of the control cells that were trained on, one value per gene."""
        return torch.stack([member.network.centre for member in self.members]).mean(dim=0)

    def shifts(self, genes: np.ndarray) -> torch.Tensor:
        """Return the shifts of genes, by number: n x (members x latent)."""
        return torch.cat([member.shifts(genes) for member in self.members], dim=1)

    def propagated(self, shifts: torch.Tensor) -> torch.Tensor:
        """Return how far shifts move the causal variables, such that lengths and angles are means over the members."""
        parts = zip(self.members, self._split(shifts), strict=True)
        return (
            torch.cat([part @ member.network.propagation() for member, part in parts], dim=1) / len(self.members) ** 0.5
        )

    def changes(self, cells: torch.Tensor, shifts: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        """Return the mean of :meth:`Member.changes`; latent dimensions of the members are side by side."""
        draws = [None] * len(self.members) if noise is None else self._split(noise)
        total = torch.zeros(len(shifts), *cells.shape, device=cells.device)
        # One member after the other, as what each says is as large as what is returned.
        for member, shift, draw in zip(self.members, self._split(shifts), draws, strict=True):
            total += member.changes(cells, shift, draw)
        return total.div_(len(self.members))

    def _split(self, values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return values.chunk(len(self.members), dim=-1)

    def to(self, device: torch.device) -> Ensemble:
        """Return the models on a device; their networks are moved there, not copied."""
        return Ensemble(tuple(replace(member, network=member.network.to(device)) for member in self.members))

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """All that :meth:`from_arrays` needs beside the configuration; of each member along the first axis."""
        every = [member.arrays for member in self.members]
        return {
            name: shared if name in SHARED else np.stack([arrays[name] for arrays in every])
            for name, shared in every[0].items()
        }

    @classmethod
    def from_arrays(cls, config: Config, arrays: Mapping[str, np.ndarray]) -> Ensemble:
        """Return the models of :attr:`arrays`, or the one of arrays that know of no members."""
        if np.ndim(arrays["strength"]) == 1:
            return cls((Member.from_arrays(config, arrays),))
        every = (
            {name: array if name in SHARED else array[number] for name, array in arrays.items()}
            for number in range(len(arrays["strength"]))
        )
        return cls(tuple(Member.from_arrays(config, own) for own in every))


def neighbour_shifts(
    features: torch.Tensor, trained: torch.Tensor, shifts: torch.Tensor, *, left_out: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the mean of the shifts of training targets, weighted by how similar their features are (n x latent).

    Weights are the softmax of the cosine of `features` and of those of training targets, in standard deviations of the
    cosines among these (Nadaraya and Watson 1964). `left_out` is the training target that each row is, without weight.
    """
    features, trained = (torch.nn.functional.normalize(one, dim=1) for one in (features, trained))
    similarity = features @ trained.T
    among = (trained @ trained.T)[~torch.eye(len(trained), dtype=torch.bool, device=trained.device)]
    spread = among.std() if len(among) > 1 else among.new_zeros(())
    logits = similarity / spread if spread > _ALIKE else torch.zeros_like(similarity)
    if left_out is not None:
        logits[torch.arange(len(left_out), device=left_out.device), left_out] = -torch.inf
    return logits.softmax(dim=1) @ shifts


def changed(cells: torch.Tensor, change: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    """Return observed cells with predicted changes in proportion to the `level`, none below 0: docs/sccvae.md."""
    share = torch.where(level > 0, change.clamp(-level, level) / level, 0.0)
    return (1 + share).mul_(cells).add_((change - level).clamp_(min=0))


def shapes_of(
    config: Config, n_genes: int, n_targets: int, n_trained: int, n_features: int
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of :attr:`Member.arrays` by name; no memory is taken for any of them."""
    if max(config.n_latent, *config.hidden, *config.code_hidden, n_features) > _WIDEST:
        raise ValueError(f"a layer is wider than {_WIDEST:,}")
    widths = {"features": (n_features,), "coexpression": (config.n_latent,)}
    shapes = {name: (n_targets, *widths.get(name, ())) for name in _OF_GENES}
    # On a device that knows shapes alone: nothing but the network itself says what it is made of.
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        own, features = torch.empty(n_trained, config.n_latent), torch.empty(n_trained, n_features)
        network = Network(config, torch.empty(n_genes), torch.empty(config.n_latent, config.n_latent), features, own)
    return shapes | {_STATE + name: tuple(value.shape) for name, value in network.state_dict().items()}
