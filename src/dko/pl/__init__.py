"""Plots: they only read."""

from ._dose_response import dose_response
from ._effect import effect
from ._evaluation import evaluation
from ._fit import fit
from ._heatmap import heatmap
from ._history import history
from ._impact import impact
from ._modules import modules
from ._pairs import pairs
from ._profile import profile
from ._ranking import ranking
from ._shift import shift

__all__ = [
    "dose_response",
    "effect",
    "evaluation",
    "fit",
    "heatmap",
    "history",
    "impact",
    "modules",
    "pairs",
    "profile",
    "ranking",
    "shift",
]
