"""SCCVAE, a causal variational autoencoder of perturbed cells (bioRxiv 2025.06.05.657988): tensors only."""

from ..sccvae_config import CODES, Config, config_of
from ._fit import fit, fit_members, on_target_effects
from ._loss import Loss, gaussian_kl, grouped_mmd, median_bandwidths
from ._model import SHARED, Ensemble, Member, changed, shapes_of
from ._network import Network, propagation
from ._sampler import Batch, Cells, Sampler
from ._strength import with_strength
from ._targets import (
    FeaturesOf,
    Graph,
    Targets,
    acyclic_order,
    check_features,
    features_of,
    full_mask,
    graph_of,
    ordered_mask,
)

__all__ = [
    "CODES",
    "SHARED",
    "Batch",
    "Cells",
    "Config",
    "Ensemble",
    "FeaturesOf",
    "Graph",
    "Loss",
    "Member",
    "Network",
    "Sampler",
    "Targets",
    "acyclic_order",
    "changed",
    "check_features",
    "config_of",
    "features_of",
    "fit",
    "fit_members",
    "full_mask",
    "gaussian_kl",
    "graph_of",
    "grouped_mmd",
    "median_bandwidths",
    "on_target_effects",
    "ordered_mask",
    "propagation",
    "shapes_of",
    "with_strength",
]
