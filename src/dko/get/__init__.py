"""Getters: they read results out of an AnnData or MuData and change nothing."""

from ._effects import effects
from ._impact import impact, impact_table, ranking
from ._profiles import fit_quality, profiles
from ._tables import (
    affected_genes,
    clusters,
    dose_response,
    enrichment,
    evaluation,
    history,
    identity,
    interactions,
    modules,
    pairs,
)

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
