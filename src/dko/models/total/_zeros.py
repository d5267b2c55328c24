"""How much the absence of a gene from a cell says about its level."""

from __future__ import annotations

import numpy as np
from scipy import sparse

# Least relative variance beyond counting noise, and how often it and the zeros that it explains are estimated in turn.
_DISPERSION, _ROUNDS = 1e-3, 10
# Genes, evenly spread, whose presence is compared.
_SOME_GENES = 500
_TINY = 1e-12


def weight_of_zeros(profiles: sparse.csr_matrix, seen: np.ndarray, typical: float) -> np.ndarray:
    """Return how fully a zero counts as a low level, per gene: w + (1 - w) r, from 0 to 1 (genes,).

    w is the share of the zeros of a gene that sampling explains (:func:`_sampled`). Of the others, all count if the
    presence of genes is regulated, as it is where cells differ in type or state, and none if genes are absent at
    random: r (:func:`_regulated`).
    """
    sampled = _sampled(profiles, seen, typical)
    return sampled + (1 - sampled) * _regulated(profiles, seen)


def _sampled(profiles: sparse.csr_matrix, seen: np.ndarray, typical: float) -> np.ndarray:
    """Return how likely it is that a gene which was not seen was only not sampled (genes,).

    The zeros that a negative binomial gives in the cells that have the gene, over those observed (such weights are
    those of Van den Berge et al. 2018). Mean and variance are those of the cells that have the gene, seen there or
    not, so both are estimated in turn, by moments. One zero that was only not sampled is added to those observed: few
    zeros say little, and where there are none the weight is 1. 0 for a gene that no cell has.
    """
    n_cells, n_genes = profiles.shape
    counts = typical * profiles.data.astype(np.float64)
    total, square = (np.bincount(profiles.indices, weights=counts**power, minlength=n_genes) for power in (1, 2))
    zeros, found = n_cells - seen, np.ones(n_genes)
    for _ in range(_ROUNDS):
        having = np.maximum(seen + found * zeros, _TINY)
        mean = np.maximum(total / having, _TINY)
        dispersion = np.maximum(square / having - mean**2 - mean, _DISPERSION * mean) / mean**2
        by_chance = np.exp(-np.log1p(dispersion * mean) / dispersion)
        found = np.minimum(1, (by_chance * having + 1) / (zeros + 1))
    return np.where(seen > 0, found, 0)


def _regulated(profiles: sparse.csr_matrix, seen: np.ndarray) -> float:
    """Return the share of the variance of correlations between the presence of genes that chance does not explain.

    Between independent genes it is one over the number of cells. What all pairs have in common is left out: cells of
    different depth, or of a fixed number of genes.
    """
    n_cells = profiles.shape[0]
    vary = np.flatnonzero((seen > 0) & (seen < n_cells))
    some = vary[np.unique(np.linspace(0, len(vary) - 1, min(len(vary), _SOME_GENES)).astype(int))]
    if len(some) < 3:
        return 0.0
    chosen = profiles[:, some]
    presence = sparse.csr_matrix((np.ones(chosen.nnz, np.float32), chosen.indices, chosen.indptr), shape=chosen.shape)
    share = seen[some] / n_cells
    together = np.asarray((presence.T @ presence).todense(), dtype=np.float64) / n_cells
    sd = np.sqrt(share * (1 - share))
    correlation = (together - np.outer(share, share)) / np.outer(sd, sd)
    np.fill_diagonal(correlation, np.nan)
    return max(0.0, 1 - 1 / max(n_cells * float(np.nanvar(correlation, axis=0).mean()), 1.0))
