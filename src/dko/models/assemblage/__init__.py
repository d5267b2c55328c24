"""Model 1: from the genes that are present in a cell to its expression profile (arXiv 2510.03359)."""

from ._affine import AffineMap, predict
from ._fit import Fit, fit
from ._knockout import CellKnockouts, knockouts, locate

__all__ = ["AffineMap", "CellKnockouts", "Fit", "fit", "knockouts", "locate", "predict"]
