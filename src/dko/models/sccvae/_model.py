"""A trained SCCVAE: the shift of any target, and what cells look like with it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from ._network import Network
from ._unseen import neighbour_shifts, with_coexpression

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._config import Config

_STATE = "network."


@dataclass(frozen=True)
class Model:
    """What predicts perturbations of any gene that has features.

    Attributes
    ----------
    config
        Sizes and settings.
    network
        With the best weights.
    features
        Of all genes that can be perturbed, n x features.
    coexpression
        The same genes x latent: the direction, of length 1, of cells that express less of it; zeros where unknown.
    node
        The dimension of each of these genes, -1 for those without one.
    trained
        Which row of the trained targets each of these genes is, -1 for those that were not trained on.
    strength
        Per gene, what the shift of an untrained one is multiplied with.
    own
        Per gene, the change of its own expression when it is perturbed; NaN where that is not known.
    """

    config: Config
    network: Network
    features: torch.Tensor
    coexpression: torch.Tensor
    node: np.ndarray
    trained: np.ndarray
    strength: np.ndarray
    own: np.ndarray

    @torch.no_grad()
    def shifts(self, genes: np.ndarray) -> torch.Tensor:
        """Return the shifts of genes, by number (n x latent), each through its own strength."""
        network, trained = self.network, self.trained[genes]
        seen = network.shifts()
        found = unseen_shifts(self, genes) * torch.from_numpy(self.strength[genes].astype(np.float32))[:, None].to(seen)
        known = torch.from_numpy(trained >= 0).to(seen.device)
        return torch.where(known[:, None], seen[torch.from_numpy(np.maximum(trained, 0)).to(seen.device)], found)

    @torch.no_grad()
    def changes(self, cells: torch.Tensor, shifts: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        """Return by how much control cells change with each shift: decoded with it, less decoded without.

        Parameters
        ----------
        cells
            Log-normalised expression, cells x genes.
        shifts
            n x latent.
        noise
            Standard normal, cells x latent: the draw from the posterior, with and without the shift the same; None
            takes its mean.

        Returns
        -------
        n x cells x genes.
        """
        mean, variance = self.network.encode(cells)
        latent = mean if noise is None else mean + variance.sqrt() * noise
        propagated = self.network.propagation()
        after = self.network.decode(latent + shifts[:, None], propagated)
        return after.sub_(self.network.decode(latent, propagated))

    @torch.no_grad()
    def propagated(self, shifts: torch.Tensor) -> torch.Tensor:
        """Return how far shifts (n x latent) move the causal variables, through the graph."""
        return shifts @ self.network.propagation()

    def to(self, device: torch.device) -> Model:
        """Return the model on a device; its network is moved there, not copied."""
        moved = {name: getattr(self, name).to(device) for name in ("network", "features", "coexpression")}
        return Model(**{**vars(self), **moved})

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """All that :func:`model_of` needs beside the configuration."""
        state = {_STATE + name: value.cpu().numpy() for name, value in self.network.state_dict().items()}
        return {
            **state,
            "features": self.features.cpu().numpy(),
            "coexpression": self.coexpression.cpu().numpy(),
            "node": self.node,
            "trained": self.trained,
            "strength": self.strength,
            "own": self.own,
        }


def unseen_shifts(model: Model, genes: np.ndarray, *, leave_out: bool = False) -> torch.Tensor:
    """Return the shifts that genes have by their features (n x latent), whether they were trained on or not.

    With `leave_out`, genes are trained targets, and what is known of each plays no part in its own shift: only with
    the code ``"neighbours"``.
    """
    network, config = model.network, model.config
    features = model.features[torch.from_numpy(genes)]
    own = own_dimensions(model.node[genes], len(network.mask)).to(features)
    if config.code != "neighbours":
        return network.directions(features, own)
    left = torch.from_numpy(model.trained[genes]) if leave_out else None
    shifts = neighbour_shifts(features, network.features, network.codes, own=left)
    shifts = with_coexpression(shifts, model.coexpression[torch.from_numpy(genes)], config.coexpression)
    return shifts + network.own_weight * own


def own_dimensions(node: np.ndarray, n_latent: int) -> torch.Tensor:
    """Return ones where a gene has a dimension of its own (genes x latent)."""
    own = torch.zeros(len(node), n_latent)
    named = np.flatnonzero(node >= 0)
    own[named, node[named]] = 1.0
    return own


# No layer is wider; the number of the entries of a matrix of this size fits into 64 bits.
_WIDEST = 2**24


@lru_cache(maxsize=16)
def shapes_of(
    config: Config, n_genes: int, n_targets: int, n_trained: int, n_features: int
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of :attr:`Model.arrays` by name; no memory is taken for any of them."""
    if max(config.n_latent, *config.hidden, *config.code_hidden, n_features) > _WIDEST:
        raise ValueError(f"a layer is wider than {_WIDEST:,}")
    shapes = {
        "features": (n_targets, n_features),
        "coexpression": (n_targets, config.n_latent),
        **dict.fromkeys(("node", "trained", "strength", "own"), (n_targets,)),
    }
    # On a device that knows shapes alone: nothing but the network itself says what it is made of.
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        own, features = torch.empty(n_trained, config.n_latent), torch.empty(n_trained, n_features)
        network = Network(config, torch.empty(n_genes), torch.empty(config.n_latent, config.n_latent), features, own)
    return shapes | {_STATE + name: tuple(value.shape) for name, value in network.state_dict().items()}


def model_of(config: Config, arrays: Mapping[str, np.ndarray]) -> Model:
    """Return the model of :attr:`Model.arrays`."""
    state = {
        name.removeprefix(_STATE): torch.from_numpy(np.array(array))
        for name, array in arrays.items()
        if name.startswith(_STATE)
    }
    with torch.random.fork_rng(devices=[]):
        network = Network(config, *(state[name] for name in ("centre", "mask", "features", "own")))
    network.load_state_dict(state)
    network.eval()
    return Model(
        config=config,
        network=network,
        features=torch.from_numpy(np.array(arrays["features"])),
        coexpression=torch.from_numpy(np.array(arrays["coexpression"])),
        node=np.asarray(arrays["node"]),
        trained=np.asarray(arrays["trained"]),
        strength=np.asarray(arrays["strength"]),
        own=np.asarray(arrays["own"]),
    )
