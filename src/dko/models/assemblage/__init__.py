"""Model 1: from the genes that are present in a cell to its expression profile (arXiv 2510.03359)."""

from .network import AssemblageNetwork, Fit, fit

__all__ = ["AssemblageNetwork", "Fit", "fit"]
