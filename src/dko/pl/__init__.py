"""Plots: they only read."""

from ._effect import dose_response, effect
from ._embedding import impact, shift
from ._maps import modules, pairs
from ._profile import profile
from ._quality import evaluation, fit, history
from ._ranking import heatmap, ranking
from ._style import style
from ._waterfall import waterfall

__all__ = ["dose_response", "effect", "evaluation", "fit", "heatmap", "history", "impact", "modules", "pairs"]
__all__ += ["profile", "ranking", "shift", "style", "waterfall"]
