"""Plots: they only read."""

from ._dose_response import dose_response
from ._evaluation import evaluation
from ._fit import fit
from ._history import history
from ._impact import impact
from ._modules import modules
from ._ranking import ranking

__all__ = ["dose_response", "evaluation", "fit", "history", "impact", "modules", "ranking"]
