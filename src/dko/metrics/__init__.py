"""Pure array functions that measure."""

from ._agreement import (
    calibration_slope,
    correlation,
    direction,
    direction_fidelity,
    direction_reach,
    jaccard,
    mse,
    oracle_strength,
    recovery,
    relative_error,
)
from ._baselines import baseline_effects, supervised_effects
from ._effects import ceiling, changed_genes, effect, effect_size, pair_interaction
from ._profiles import bray_curtis, energy_distance, fit_quality, gene_mean, log_profiles, mmd
from ._retrieval import neighbour_agreement, retrieval, similarity

__all__ = [
    "baseline_effects",
    "bray_curtis",
    "calibration_slope",
    "ceiling",
    "changed_genes",
    "correlation",
    "direction",
    "direction_fidelity",
    "direction_reach",
    "effect",
    "effect_size",
    "energy_distance",
    "fit_quality",
    "gene_mean",
    "jaccard",
    "log_profiles",
    "mmd",
    "mse",
    "neighbour_agreement",
    "oracle_strength",
    "pair_interaction",
    "recovery",
    "relative_error",
    "retrieval",
    "similarity",
    "supervised_effects",
]
