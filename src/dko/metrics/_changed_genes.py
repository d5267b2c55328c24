"""Genes that a knockout has changed, beyond what chance does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from .._core.verb import verb
from ._log_profiles import columns_mask, log_profiles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._compat import Matrix

RATE = 0.05


@verb
def changed_genes(
    perturbed: Matrix, control: Matrix, *, without: Sequence[int] | np.ndarray = (), rate: float = RATE
) -> np.ndarray:
    """Find the genes whose expression differs between perturbed and unperturbed cells.

    Mann-Whitney test of log1p(1e4 * profile), normal approximation with ties, controlled by Benjamini and Hochberg.
    Where one side has many times more cells than the other, the approximation is too bold for genes that few cells
    express: take a part of the larger side.

    Parameters
    ----------
    perturbed, control
        Profiles or counts, cells x genes, dense or sparse.
    without
        Columns of the perturbed genes, which are taken out of both sides first.
    rate
        False discoveries among those found.

    Returns
    -------
    Mask of genes, bool, shape (genes,); False for those that were taken out.
    """
    kept = ~columns_mask(without, perturbed.shape[1])
    return changed_among(log_profiles(perturbed, without=without), log_profiles(control, without=without), kept, rate)


def changed_among(
    perturbed: sparse.csr_array, control: sparse.csr_array, kept: np.ndarray, rate: float = RATE
) -> np.ndarray:
    """Return the same from values of cells; `kept` says which genes are tested."""
    from scipy.stats import false_discovery_control

    expressed = np.diff(sparse.vstack([perturbed, control], format="csc").indptr) > 0
    tested = kept & expressed
    changed = np.zeros(len(kept), dtype=bool)
    if tested.any():
        changed[tested] = false_discovery_control(rank_test(perturbed, control)[tested]) <= rate
    return changed


def rank_test(a: sparse.csr_array, b: sparse.csr_array) -> np.ndarray:
    """Return the two-sided p-value of every gene by Mann and Whitney; entries are above 0, what has none is 0."""
    from scipy.special import ndtr

    both = sparse.csc_array(sparse.vstack([a, b], format="csc"))
    n_a, n, n_genes = a.shape[0], both.shape[0], both.shape[1]
    gene = np.repeat(np.arange(n_genes), np.diff(both.indptr))
    order = np.lexsort((both.data, gene))
    value, of_a = both.data[order], both.indices[order] < n_a
    # Runs of the same value share the mean of their ranks; all zeros of a gene are a run of their own, the lowest.
    begins = np.ones(len(value), dtype=bool)
    begins[1:] = (value[1:] != value[:-1]) | (gene[1:] != gene[:-1])
    first, run = np.flatnonzero(begins), np.cumsum(begins) - 1
    length, run_gene = np.bincount(run, minlength=len(first)), gene[first]
    zeros = n - np.diff(both.indptr).astype(float)
    rank = (zeros[run_gene] + first - both.indptr[run_gene] + (length + 1) / 2)[run]
    zeros_of_a = n_a - np.bincount(gene[of_a], minlength=n_genes)
    total = np.bincount(gene, weights=rank * of_a, minlength=n_genes) + zeros_of_a * (zeros + 1) / 2
    ties = np.bincount(run_gene, weights=length**3.0 - length, minlength=n_genes) + zeros**3 - zeros
    variance = n_a * (n - n_a) / 12 * (n + 1 - ties / (n * (n - 1)))
    distance = np.maximum(np.abs(total - n_a * (n + 1) / 2) - 0.5, 0)
    z = np.divide(distance, np.sqrt(np.maximum(variance, 0)), out=np.zeros(n_genes), where=variance > 0)
    return 2 * ndtr(-z)
