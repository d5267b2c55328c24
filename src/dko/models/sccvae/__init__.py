"""SCCVAE, a causal variational autoencoder of perturbed cells (bioRxiv 2025.06.05.657988): tensors only."""

from ._cells import NEITHER, Batch, Cells
from ._config import CODES, PAIRINGS, PAPER, Config, config_of
from ._ensemble import SHARED, Ensemble, ensemble_of
from ._fit import fit
from ._fit_ensemble import fit_ensemble
from ._graph import acyclic_order, effect_graph, full_mask, ordered_mask, random_mask
from ._loss import gaussian_kl, grouped_mmd, median_bandwidths
from ._model import Model, model_of, shapes_of
from ._network import Network
from ._observed import changed
from ._scm import propagation
from ._strength import STRENGTHS, strengths, with_strengths

__all__ = [
    "CODES",
    "NEITHER",
    "PAIRINGS",
    "PAPER",
    "SHARED",
    "STRENGTHS",
    "Batch",
    "Cells",
    "Config",
    "Ensemble",
    "Model",
    "Network",
    "acyclic_order",
    "changed",
    "config_of",
    "effect_graph",
    "ensemble_of",
    "fit",
    "fit_ensemble",
    "full_mask",
    "gaussian_kl",
    "grouped_mmd",
    "median_bandwidths",
    "model_of",
    "ordered_mask",
    "propagation",
    "random_mask",
    "shapes_of",
    "strengths",
    "with_strengths",
]
