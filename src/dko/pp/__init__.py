"""Preparation of data before a fit."""

from ._select_genes import select_genes
from ._split_perturbations import split_perturbations

__all__ = ["select_genes", "split_perturbations"]
