"""Getters: they read results out of an AnnData or MuData and change nothing."""

from ._dose_response import dose_response
from ._effects import effects
from ._evaluation import evaluation
from ._fit_quality import fit_quality
from ._history import history
from ._impact import impact
from ._impact_table import impact_table
from ._modules import modules
from ._pairs import pairs
from ._profiles import profiles
from ._ranking import ranking

__all__ = [
    "dose_response",
    "effects",
    "evaluation",
    "fit_quality",
    "history",
    "impact",
    "impact_table",
    "modules",
    "pairs",
    "profiles",
    "ranking",
]
