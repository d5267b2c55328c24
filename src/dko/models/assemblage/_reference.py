"""The paper's formulas (arXiv 2510.03359), written down as they stand: slow, readable, the judge of everything fast.

Nothing in the package calls this module; tests and benchmarks do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


# What turns raw outputs into something that is not negative; the paper takes the first.
LINKS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "abs": np.abs,
    "softplus": lambda raw: np.logaddexp(raw, 0),
    "exp": np.exp,
}


@dataclass(frozen=True)
class Layers:
    """Weights of the two layers, float64: W1, W2 (genes x genes), b1, b2 (genes); and a name in LINKS.

    The assemblage is divided by `divisor`; 0, as published: by the number of present genes.
    """

    w1: np.ndarray
    b1: np.ndarray
    w2: np.ndarray
    b2: np.ndarray
    link: str = "abs"
    divisor: float = 0.0


def outputs(layers: Layers, assemblage: np.ndarray, weights: np.ndarray | float = 1.0) -> np.ndarray:
    """Return the outputs (genes,) for an assemblage (genes,) that is not empty, multiplied by `weights`."""
    y = assemblage / (layers.divisor or assemblage.sum())
    return LINKS[layers.link](layers.w2 @ (layers.w1 @ y + layers.b1) + layers.b2) * weights


def profile(layers: Layers, assemblage: np.ndarray, weights: np.ndarray | float = 1.0) -> np.ndarray:
    """Profile (genes,) of one cell from its assemblage (genes,); all zero if no gene is present, or no output."""
    if not assemblage.any():
        return np.zeros(len(assemblage))
    present = assemblage * outputs(layers, assemblage, weights)
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


def impact(
    layers: Layers,
    assemblage: np.ndarray,
    genes: Sequence[int],
    dose: float = 1.0,
    weights: np.ndarray | float = 1.0,
) -> float:
    """Impact of removing `genes` from one cell: one forward pass before and one after."""
    before = profile(layers, assemblage, weights)
    after = profile(layers, knocked_out(assemblage, genes, dose), weights)
    return bray_curtis(after, before)
