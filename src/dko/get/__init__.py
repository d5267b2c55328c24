"""Getters: they read results out of an AnnData or MuData and change nothing."""

from ._effects import effects
from ._evaluation import evaluation
from ._fit_quality import fit_quality
from ._history import history
from ._impact import impact
from ._impact_table import impact_table
from ._pairs import pairs
from ._profiles import profiles
from ._ranking import ranking

__all__ = ["effects", "evaluation", "fit_quality", "history", "impact", "impact_table", "pairs", "profiles", "ranking"]
