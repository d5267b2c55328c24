"""The formulas of the paper (arXiv 2510.03359) as they stand, slow and readable: what the fast path has to equal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Layers:
    """Weights of the two layers, float64: W1, W2 (genes x genes), b1, b2 (genes)."""

    w1: np.ndarray
    b1: np.ndarray
    w2: np.ndarray
    b2: np.ndarray


def profile(layers: Layers, assemblage: np.ndarray) -> np.ndarray:
    """Profile (genes,) of one cell from its assemblage (genes,); all zero if no gene is present, or no output."""
    if not assemblage.any():
        return np.zeros(len(assemblage))
    y = assemblage / assemblage.sum()
    present = assemblage * np.abs(layers.w2 @ (layers.w1 @ y + layers.b1) + layers.b2)
    return present / total if (total := present.sum()) else present


def knocked_out(assemblage: np.ndarray, genes: Sequence[int], dose: float = 1.0) -> np.ndarray:
    """Assemblage without a fraction `dose` of each of `genes`; a gene that is absent stays absent."""
    after = assemblage.astype(float)
    after[list(genes)] *= 1.0 - dose
    return after


def bray_curtis(a: np.ndarray, b: np.ndarray) -> float:
    """Bray-Curtis dissimilarity of two profiles; 0 if both are empty."""
    both = (a + b).sum()
    return float(np.abs(a - b).sum() / both) if both else 0.0


def impact(layers: Layers, assemblage: np.ndarray, genes: Sequence[int], dose: float = 1.0) -> float:
    """Impact of removing `genes` from one cell: one forward pass before and one after."""
    return bray_curtis(profile(layers, assemblage), profile(layers, knocked_out(assemblage, genes, dose)))


def downstream(layers: Layers, assemblage: np.ndarray, genes: Sequence[int], dose: float = 1.0) -> float:
    """Downstream impact: the same of both profiles without `genes`, each made to sum to 1 again."""
    return others_apart(profile(layers, assemblage), profile(layers, knocked_out(assemblage, genes, dose)), genes)


def others_apart(a: np.ndarray, b: np.ndarray, genes: Sequence[int]) -> float:
    """Bray-Curtis dissimilarity of two profiles without `genes`, each made to sum to 1 again."""
    rest = [np.delete(one, list(genes)) for one in (a, b)]
    return bray_curtis(*(one / total if (total := one.sum()) else one for one in rest))
