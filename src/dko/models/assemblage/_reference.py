"""The paper's formulas (arXiv 2510.03359), written down as they stand: slow, readable, the judge of everything fast.

Nothing in the package calls this module; tests and benchmarks do.
"""

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
    """Profile of one cell (genes,) from its assemblage (genes,); all zero if no gene is present."""
    if not assemblage.any():
        return np.zeros(len(assemblage))
    y = assemblage / assemblage.sum()
    o = np.abs(layers.w2 @ (layers.w1 @ y + layers.b1) + layers.b2)
    return assemblage * o / (assemblage * o).sum()


def knocked_out(assemblage: np.ndarray, genes: Sequence[int], dose: float = 1.0) -> np.ndarray:
    """Assemblage without a fraction `dose` of each of `genes`; a gene that is absent stays absent."""
    after = assemblage.astype(float)
    after[list(genes)] *= 1.0 - dose
    return after


def bray_curtis(a: np.ndarray, b: np.ndarray) -> float:
    """Bray-Curtis dissimilarity of two profiles."""
    return float(np.abs(a - b).sum() / (a + b).sum())


def impact(layers: Layers, assemblage: np.ndarray, genes: Sequence[int], dose: float = 1.0) -> float:
    """Impact of removing `genes` from one cell: one forward pass before and one after."""
    before = profile(layers, assemblage)
    after = profile(layers, knocked_out(assemblage, genes, dose))
    return bray_curtis(after, before)
