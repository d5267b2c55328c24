"""Total effects of genes on each other, estimated in closed form from unperturbed cells.

A network that predicts profiles from assemblages conditions the influence of a gene on the presence of all others,
which blocks whatever runs through them. Here each pair of genes has one regression of its own, adjusted for the depth
of the cell only; the slopes are shrunken by empirical Bayes and put on one scale by the likelihood of held-out cells.
The result is a map that is affine before an exponential, for the same engine.
"""

from __future__ import annotations

from ._deviation import residual
from ._explained import explained
from ._fit import TotalFit, fit, influence

__all__ = [
    "TotalFit",
    "explained",
    "fit",
    "influence",
    "residual",
]
