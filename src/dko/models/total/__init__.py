"""Total effects of genes on each other, estimated in closed form from unperturbed cells.

A network that predicts profiles from assemblages conditions the influence of a gene on the presence of all others,
which blocks whatever runs through them. Here each pair of genes has one regression, shrunken by empirical Bayes, and
what whole programs of genes have in common is taken off by a heavy ridge penalty. The result is a factor for every
pair of genes, by which the observed share of one changes when the other is lost.
"""

from __future__ import annotations

from .estimate import TotalFit, explained, fit, influence
from .null import Null, impacts_of_all, p_values
from .prior import Prior

__all__ = ["Null", "Prior", "TotalFit", "explained", "fit", "impacts_of_all", "influence", "p_values"]
