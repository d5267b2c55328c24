"""Pure array functions that measure."""

from ._baseline_effects import baseline_effects
from ._bray_curtis import bray_curtis
from ._ceiling import ceiling
from ._changed_genes import changed_genes
from ._correlation import correlation
from ._direction import direction
from ._effect import effect
from ._effect_size import effect_size
from ._energy_distance import energy_distance
from ._fit_quality import fit_quality
from ._gene_mean import gene_mean
from ._log_profiles import log_profiles
from ._mmd import mmd
from ._mse import mse
from ._neighbour_agreement import neighbour_agreement
from ._oracle_strength import oracle_strength
from ._pair_interaction import pair_interaction
from ._recovery import recovery
from ._retrieval import retrieval
from ._similarity import similarity
from ._slope import slope
from ._supervised_effects import supervised_effects

__all__ = [
    "baseline_effects",
    "bray_curtis",
    "ceiling",
    "changed_genes",
    "correlation",
    "direction",
    "effect",
    "effect_size",
    "energy_distance",
    "fit_quality",
    "gene_mean",
    "log_profiles",
    "mmd",
    "mse",
    "neighbour_agreement",
    "oracle_strength",
    "pair_interaction",
    "recovery",
    "retrieval",
    "similarity",
    "slope",
    "supervised_effects",
]
