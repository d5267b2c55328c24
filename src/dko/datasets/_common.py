"""What all simulated cells share: keys of the truth that they carry, checks of parameters, counts."""

from __future__ import annotations

import numpy as np
from scipy import sparse

TRUTH = "truth"  # layers: noise-free steady state
PRODUCTION = "production"  # layers: production factor of every expressed gene
HALF_RESPONSE = "half_response"  # var: level of a regulator at which its response is half, of cells of several types
NETWORK = "network"  # varp: signed weights, rows regulate columns
GRN = "grn"  # uns: parameters of the simulation
PERTURB_SEQ = "perturb_seq"  # uns: strengths of targets, network of modules, parameters
ACYCLIC = "acyclic"  # uns[GRN]["network"] of cells of several types


def require(condition: bool, otherwise: str) -> None:
    """Raise a ValueError with the sentence `otherwise` unless the condition holds."""
    if not condition:
        raise ValueError(f"{otherwise}.")


def seed_noted(rng: object) -> int | None:
    """Return a seed as the parameters of a simulation have it; None for a generator."""
    return int(rng) if isinstance(rng, int | np.integer) else None


def poisson_counts(expected: np.ndarray, rng: np.random.Generator, kept: np.ndarray | None = None) -> sparse.csr_matrix:
    """Draw counts of values that are `kept` with a probability; a cell without any gets one of its highest gene."""
    counts = rng.poisson(expected)
    if kept is not None:
        counts *= rng.random(expected.shape) < kept
    empty = np.flatnonzero(counts.sum(axis=1) == 0)
    counts[empty, expected[empty].argmax(axis=1)] = 1
    return sparse.csr_matrix(counts.astype(np.float32))
