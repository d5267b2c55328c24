"""Plots: they only read."""

from ._evaluation import evaluation
from ._fit import fit
from ._history import history
from ._impact import impact
from ._ranking import ranking

__all__ = ["evaluation", "fit", "history", "impact", "ranking"]
