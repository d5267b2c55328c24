"""Model 1: from the genes that are present in a cell to its expression profile (arXiv 2510.03359)."""

from ._fit import Fit, fit

__all__ = ["Fit", "fit"]
