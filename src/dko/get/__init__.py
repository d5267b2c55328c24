"""Getters: they read results out of an AnnData or MuData and change nothing."""

from ._evaluation import evaluation
from ._fit import fit_quality, history, pairs, profiles
from ._knockouts import effects, impact, impact_table, ranking
from ._tables import affected_genes, clusters, dose_response, enrichment, identity, interactions, modules

__all__ = ["affected_genes", "clusters", "dose_response", "effects", "enrichment", "evaluation", "fit_quality"]
__all__ += ["history", "identity", "impact", "impact_table", "interactions", "modules", "pairs", "profiles", "ranking"]
