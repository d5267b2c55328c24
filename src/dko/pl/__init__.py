"""Plots: they only read."""

from ._dose_response import dose_response
from ._effect import effect, profile
from ._embedding import impact, shift
from ._maps import modules, pairs
from ._quality import evaluation, fit, history
from ._ranking import heatmap, ranking

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
