"""Pure array functions that measure."""

from ._baseline_effects import baseline_effects
from ._bray_curtis import bray_curtis
from ._ceiling import ceiling
from ._changed_genes import changed_genes
from ._correlation import correlation
from ._direction import direction, direction_fidelity, direction_reach
from ._effect import effect
from ._effect_size import effect_size
from ._energy_distance import energy_distance
from ._error import calibration_slope, mse, relative_error, scaled
from ._fit_quality import fit_quality
from ._gene_mean import gene_mean
from ._log_profiles import log_profiles
from ._mmd import mmd
from ._neighbour_agreement import neighbour_agreement
from ._oracle_strength import oracle_strength
from ._pair_interaction import pair_interaction
from ._recovery import jaccard, recovery
from ._retrieval import retrieval, retrieval_cosine
from ._similarity import similarity
from ._supervised_effects import supervised_effects

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
    "retrieval_cosine",
    "scaled",
    "similarity",
    "supervised_effects",
]
