"""Whether the knockout of a gene changes others: docs/design.md, Evidence."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.stats import genpareto

from .._parallel import in_parallel
from ..rows import blocks_of
from ..sharing import all_at_once
from . import kernels
from .kernels import Predictors
from .regression import PER_ENTRY, growth, least_cells

if TYPE_CHECKING:
    from ..sharing import Each
    from .regression import Regression

# Permuted genes: so many at least, and more where there are few genes, but none more often than so.
_DRAWS, _ENTRIES, _EACH = 512, 2**21, 32
# Of very many genes, most of them rare, one in so many: with 512 draws in 13,714 genes, chance decided about all genes
# at once (no gene or 3,600 below a false discovery rate of 5 %; with 2,048 it was 3,800 to 4,000).
_ONE_IN = 6
# Draws, of genes that about as many cells have, that a gene is compared with.
_COMPARED = 128
# Shapes that its tail can have: draws of few genes tell a heavy tail from a light one badly, and genes that have one
# outlying cell in common are rarer than one in a thousand.
_SHAPES = (0.2, 0.9)
# Draws in the tail that a distribution is fitted to, at least.
_FEWEST = 20
# Draws that are permuted together: in dense arrays, of some 100 bytes for each cell and draw.
_AT_A_TIME = 16
# Draws that are worth sharing: both sides of the regressions are computed anew for each part of them.
PART = 256
# Genes whose impacts one thread computes at a time.
_PIECE = 256
_TINY = 1e-12


@dataclass(frozen=True)
class Null:
    """Regressions of all genes on permuted ones."""

    genes: np.ndarray  # which gene was permuted (draws,)
    changes: np.ndarray  # what its loss would seem to do, by one standard deviation of the gene (draws x genes)


def draws_of(n_genes: int) -> int:
    """Return how many genes are permuted, some of them more often than once."""
    return max(_DRAWS, n_genes // _ONE_IN, min(_ENTRIES // n_genes, _EACH * n_genes))


def permuted(
    regression: Regression,
    profiles: sparse.csr_matrix,
    totals: np.ndarray,
    rng: np.random.Generator,
    each: Each = all_at_once,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Regress every gene on genes whose amounts are permuted among cells, drawn evenly over the number of cells.

    The cells are all of the `regression`, or some of them. Returned are which genes were permuted (draws,), sums of
    products with the residuals, and correlations with the predictors, of all genes (draws x genes, float32).
    """
    n_genes, seen = profiles.shape[1], regression.seen
    able = np.flatnonzero(np.isfinite(regression.spread))
    by_seen = able[np.lexsort([regression.level[able], seen[able]])]
    n_draws = draws_of(n_genes)
    genes = by_seen[np.arange(n_draws) * len(by_seen) // n_draws] if len(able) else np.zeros(n_draws, dtype=int)
    draws = _draws(genes, len(totals), rng)
    shared = len(totals) >= least_cells(n_genes, profiles.nnz / len(totals))
    work = partial(_products, regression, profiles, totals)
    products, together = (
        one[0] if len(one) == 1 else np.concatenate(one)
        for one in zip(*each(work, draws, PART // _AT_A_TIME if shared else len(draws)), strict=True)
    )
    regression.standardise(products, together, genes)
    # With as much noise as sums over all cells have.
    for one in (products, together):
        one *= np.float32((regression.n_cells / len(totals)) ** 0.5)
    return genes, products, together


def _draws(genes: np.ndarray, n_cells: int, rng: np.random.Generator) -> np.ndarray:
    """Return genes that are permuted together and the random numbers for that, whoever takes them (object, n x 2)."""
    found = np.empty((-(-len(genes) // _AT_A_TIME), 2), dtype=object)
    for number in range(len(found)):
        some = genes[number * _AT_A_TIME : (number + 1) * _AT_A_TIME]
        found[number, 0], found[number, 1] = some, deepcopy(rng)
        # As many are used up as the permutations take.
        rng.permuted(np.empty((n_cells, len(some)), dtype=np.int8), axis=0)
    return found


def _products(
    regression: Regression, profiles: sparse.csr_matrix, totals: np.ndarray, draws: np.ndarray, _: slice
) -> tuple[np.ndarray, np.ndarray]:
    """Return sums of products of permuted genes with the residuals, and with predictors (draws x genes, float32)."""
    genes = np.concatenate(draws[:, 0])
    moved = _moved(regression, profiles, totals, draws)
    products, together = (np.zeros((len(genes), profiles.shape[1]), dtype=np.float32) for _ in range(2))
    for cells, block in blocks_of(profiles, PER_ENTRY):
        some = moved[cells].tocsc()
        # Of the types that genes as they are have, or the loops would be compiled for these too.
        value, own = (np.ascontiguousarray(one) for one in (some.data.real, some.data.imag))
        ends, cell = (one.astype(np.int32) for one in (some.indptr, some.indices))
        rows = Predictors(ends, cell, value, own, regression.centre[genes])
        regression.add_products(rows, regression.sides(block, totals[cells]), products, together)
    return products, together


def _moved(
    regression: Regression, profiles: sparse.csr_matrix, totals: np.ndarray, draws: np.ndarray
) -> sparse.csr_matrix:
    """Return predictors of permuted genes (cells x draws), as complex numbers: value, and what it takes of its own."""
    depth, parts, by_gene = totals[:, None] / regression.mean_total, [], profiles.tocsc()
    for some, rng in draws:
        # Shares where only the amounts of these genes are permuted, beside all other genes.
        shares = by_gene[:, some].toarray().astype(float)
        others, moved = (1 - shares) * depth, deepcopy(rng).permuted(shares * depth, axis=0)
        moved /= np.maximum(others + moved, _TINY)
        values = np.where(moved > 0, regression.values(moved, some), 0)
        own = (values - regression.centre[some]) * growth(shares)
        parts.append(sparse.csc_matrix((values + 1j * own).astype(np.complex64)))
    del by_gene  # as large as the cells
    return sparse.csr_matrix(sparse.hstack(parts, format="csr"))


def p_values(downstream: np.ndarray, null: Null, seen: np.ndarray, profile: np.ndarray) -> np.ndarray:
    """Return a p-value for each gene that its knockout changes other genes: docs/design.md, Evidence.

    `downstream` are impacts on the mean `profile` by one standard deviation of each gene, `seen` the cells that have
    it.
    """
    # Among genes that all cells have, those of about the same share.
    abundance = seen + profile
    by_seen = np.argsort(abundance[null.genes], kind="stable")
    by_chance = impacts(null.changes[by_seen], profile, null.genes[by_seen])
    at = np.searchsorted(abundance[null.genes][by_seen], abundance)
    n_compared = min(_COMPARED, len(by_chance))
    start = np.clip(at - n_compared // 2, 0, len(by_chance) - n_compared)
    by_chance, observed = (np.log(np.maximum(found, _TINY)) for found in (by_chance, downstream))
    windows = np.lib.stride_tricks.sliding_window_view(by_chance, n_compared)
    mean, sd = windows.mean(1), np.maximum(windows.std(1), _TINY)
    own = np.clip(np.arange(len(by_chance)) - n_compared // 2, 0, len(by_chance) - n_compared)
    return np.where(downstream > 0, _tail((by_chance - mean[own]) / sd[own], (observed - mean[start]) / sd[start]), 1.0)


def _tail(null: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Return the probability of a null as large: counted, and Pareto beyond the largest tenth."""
    null = np.sort(null)
    n_above = len(null) - np.searchsorted(null, observed)
    found = (n_above + 1) / (len(null) + 1)
    n_tail = len(null) // 10
    if n_tail < _FEWEST:
        return found
    threshold = null[-n_tail - 1]
    excess = null[-n_tail:] - threshold
    # Probability-weighted moments (Hosking and Wallis 1987).
    first, second = excess.mean(), (excess * np.arange(n_tail)[::-1] / (n_tail - 1)).mean()
    shape = float(np.clip(2 - first / max(first - 2 * second, _TINY), *_SHAPES))
    scale = max(first * (1 - shape), _TINY)
    beyond = observed > threshold
    found[beyond] = n_tail / len(null) * genpareto.sf(observed[beyond] - threshold, shape, scale=scale)
    return found


def impacts(changes: np.ndarray, profile: np.ndarray, genes: np.ndarray | None = None) -> np.ndarray:
    """Return the downstream impact of genes on a profile, to first order, from changes of log shares, a row of each.

    Half the sum of p_j |a_j - mean a| over all other genes, float64; p sums to 1 without the gene. Of which genes the
    rows are, `genes` says; by default of all.
    """
    genes = np.arange(len(changes)) if genes is None else genes
    found = np.empty(len(genes))

    def work(first: int) -> None:
        some = slice(first, first + _PIECE)
        rows = np.ascontiguousarray(changes[some], dtype=np.float32)
        kernels.impacts(rows, genes[some], profile.astype(float), found[some])

    in_parallel(work, range(0, len(genes), _PIECE))
    return found
