"""Total effects of genes on each other, estimated in closed form from unperturbed cells.

A network that predicts profiles from assemblages conditions the influence of a gene on the presence of all others,
which blocks whatever runs through them. Here each pair of genes has one regression of its own, adjusted for the depth
of the cell only; the slopes are shrunken by empirical Bayes. The result is a map of factors: a knockout multiplies the
observed share of every other gene.
"""

from __future__ import annotations

from ._explained import explained
from ._fit import TotalFit, fit, influence

__all__ = [
    "TotalFit",
    "explained",
    "fit",
    "influence",
]
