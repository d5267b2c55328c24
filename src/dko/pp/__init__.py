"""Preparation of data before a fit."""

from ._select_genes import select_genes

__all__ = ["select_genes"]
