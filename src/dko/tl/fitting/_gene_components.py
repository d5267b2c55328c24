"""Principal components of genes over control cells: of what they do to each other, or of how they go together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..._core.cells import profiles
from ..._core.evidence import counts_again

if TYPE_CHECKING:
    from scipy import sparse

# Control cells that components are had from, at most.
_MAX_CELLS = 5_000


def influence_components(control: sparse.csr_matrix, n_components: int, *, rng: np.random.Generator) -> np.ndarray:
    """Return the scores of genes in components of their total effects on all genes, genes x components, float32.

    The effects are those of the first model, in closed form; from at most 5,000 random log-normalised cells. Components
    keep their variances, so that how many of them there are matters little, and all are divided by one number.
    """
    from ...models.total import influence

    values = _some(control, rng).copy()
    values.data = np.expm1(values.data)
    values = values[np.diff(values.indptr) > 0]
    counts = counts_again(values)
    totals = np.asarray((values if counts is None else counts).sum(axis=1, dtype=np.float64)).ravel()
    of_gene = influence(profiles(values), totals, counts=counts is not None).T
    of_gene -= of_gene.mean(axis=0)
    scores = _scores(of_gene, n_components, rng)
    return np.ascontiguousarray(scores / max(float(scores.std()), 1e-12), dtype=np.float32)


def gene_components(
    control: sparse.csr_matrix, n_components: int, *, scaled: bool, rng: np.random.Generator
) -> np.ndarray:
    """Return the scores of genes in principal components over control cells, genes x components, float32.

    Every gene is a sample and every control cell a feature, each gene centred; from at most 5,000 random cells.
    """
    values = _some(control, rng)
    # A gene with the mean of no others: each is centred over cells.
    centred = values.toarray() - np.asarray(values.mean(axis=0))
    scores = _scores(centred.T, n_components, rng)
    if scaled:
        scores = scores / np.maximum(scores.std(axis=0), 1e-12)
    return np.ascontiguousarray(scores, dtype=np.float32)


def _some(control: sparse.csr_matrix, rng: np.random.Generator) -> sparse.csr_matrix:
    if control.shape[0] <= _MAX_CELLS:
        return control
    return control[np.sort(rng.choice(control.shape[0], _MAX_CELLS, replace=False))]


def _scores(genes: np.ndarray, n_components: int, rng: np.random.Generator) -> np.ndarray:
    """Return the scores of the rows in the largest components."""
    from sklearn.decomposition import TruncatedSVD

    n_components = max(1, min(n_components, min(genes.shape) - 1))
    return TruncatedSVD(n_components, random_state=int(rng.integers(2**31))).fit_transform(genes)
