"""Getters: they read results out of an AnnData or MuData and change nothing."""

from ._affected_genes import affected_genes
from ._clusters import clusters
from ._dose_response import dose_response
from ._effects import effects
from ._enrichment import enrichment
from ._evaluation import evaluation
from ._fit_quality import fit_quality
from ._history import history
from ._identity import identity
from ._impact import impact
from ._impact_table import impact_table
from ._interactions import interactions
from ._modules import modules
from ._pairs import pairs
from ._profiles import profiles
from ._ranking import ranking

__all__ = [
    "affected_genes",
    "clusters",
    "dose_response",
    "effects",
    "enrichment",
    "evaluation",
    "fit_quality",
    "history",
    "identity",
    "impact",
    "impact_table",
    "interactions",
    "modules",
    "pairs",
    "profiles",
    "ranking",
]
