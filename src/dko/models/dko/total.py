"""Fitting the total effects of all genes: slopes, shrunken by empirical Bayes, and a heavy ridge penalty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from threadpoolctl import threadpool_limits

from .._parallel import in_parallel
from ..base import like, pieces
from ..knockout import FactorMap
from ..sharing import all_at_once
from .config import MANY
from .evidence import Null, impacts, p_values, permuted
from .prior import agreement, with_prior
from .regression import in_memory, regression, slopes
from .shrinkage import shrinkage

if TYPE_CHECKING:
    from collections.abc import Callable

    from scipy import sparse

    from ..sharing import Each
    from .prior import Prior
    from .regression import Cells, Regression


# Penalty of the regression on all genes: what is shared by so many genes counts half. Chosen by leaving out each set of
# cells of the benchmark in turn (docs/accuracy.md).
_PENALTY = 30.0
# Standard deviations by which the loss of a gene moves it at most: a gene that all cells have is not extrapolated to 0.
_FARTHEST = 3.0
# Part of the profile that a knockout has to change to be halved: what is correlated with so much is not all due to it.
_HALVED = 0.2
# Largest change of the log of a share.
_BOUND = 5.0
# Multiplications of a matrix product below which one thread makes it, in about a second: a second one gains little, and
# on a busy machine the first waits for it at full use of its core.
_SMALL_PRODUCT = 2**35
# Columns of the map that are penalised at a time.
_COLUMNS = 256


@dataclass(frozen=True)
class TotalFit:
    """Total effects."""

    factors: FactorMap  # what knockouts do to observed profiles
    null: Null  # what those of permuted genes seem to do
    p_values: np.ndarray  # whether the knockout of a gene changes any other, in the mean profile (genes,)
    downstream: np.ndarray  # by how much it changes it, to first order (genes,)
    agreement: float | None = None  # share of the prior of which the cells alone give the same sign


def fit(
    profiles: sparse.csr_matrix,
    totals: np.ndarray,
    rng: np.random.Generator,
    *,
    counts: bool,
    prior: Prior | None = None,
    cells: Cells | None = None,
    each: Each = all_at_once,
) -> TotalFit:
    """Estimate what every gene does to every other, on all paths: docs/design.md, Total effects.

    `profiles` are cells x genes, float32, no cell empty; `totals` the sum of the values of each cell; `counts` says
    whether these are counts. Where `cells` are read block by block, the former are a sample of them, for the null.
    `rng` permutes cells for the null; the map does not depend on it. Sums over cells, and the null, are made as `each`
    does it.
    """
    everyone = in_memory(profiles, totals, each) if cells is None else cells
    found = regression(everyone, counts=counts)
    small = found.n_cells * len(found.level) ** 2 < _SMALL_PRODUCT
    with threadpool_limits(1 if small else None, "blas"):
        changes, error, together = slopes(found, everyone)
        correlation = together.astype(np.float16)
        if cells is None and found.n_cells < len(changes):
            del together  # as large as the slopes
            solve = _by_cells(found, profiles, totals)
        else:
            solve = _by_genes(together)
        shrunken, by_response = shrinkage(changes), (error * _trust(found)).astype(np.float32)
        # How far the log share of gene j falls with a standard deviation of gene g (genes g x j).
        changes = shrunken(changes, by_response)
        _penalise(changes, solve)
        del solve  # what it has of the cells is not needed any more
        impact = impacts(changes, found.profile)
        genes, products, by_chance = permuted(found, profiles, totals, rng, each)
        products /= (error * found.weight).astype(np.float32)
        products[np.arange(len(genes)), genes] = 0
        # The ridge of a gene beside all others, with which it correlates but by chance.
        null = shrunken(products, by_response) - by_chance @ changes / np.float32(_PENALTY)
        null = Null(genes, null.astype(np.float16))
        del products, by_chance
        step = np.where(np.isfinite(found.spread), np.minimum(1 / found.spread, _FARTHEST), 1.0)
        step /= 1 + impact * step / _HALVED
        changes *= step.astype(np.float32)[:, None]
        np.clip(changes, -_BOUND, _BOUND, out=changes)
        downstream = impacts(changes, found.profile)
        influence = np.empty(changes.shape, dtype=np.float16 if len(changes) > MANY else np.float32)
        influence[...] = changes.T
        del changes
    agreed = None
    if prior is not None:
        agreed = agreement(influence, prior)
        influence = np.clip(with_prior(influence, prior, found.seen / found.n_cells, found.zeros), -_BOUND, _BOUND)
        downstream[prior.genes] = impacts(influence[:, prior.genes].T, found.profile, prior.genes)
    # With a prior too, what the cells alone give is tested.
    rates = p_values(impact, null, found.seen, found.profile)
    factors = FactorMap(influence, correlation, step.astype(np.float32))
    return TotalFit(factors, null, rates, downstream, agreed)


def influence(profiles: sparse.csr_matrix, totals: np.ndarray, *, counts: bool) -> np.ndarray:
    """Return the slopes of one regression per pair, without ridge and bounds, float32, column g of gene g."""
    cells = in_memory(profiles, totals)
    found = regression(cells, counts=counts)
    z, error, _ = slopes(found, cells)
    whole = np.where(np.isfinite(found.spread), 1 / found.spread, 0).astype(np.float32)
    return np.ascontiguousarray(shrinkage(z)(z, (error * _trust(found)).astype(np.float32)).T * whole)


def _trust(cells: Regression) -> np.ndarray:
    """Return the weight of each response: where zeros count, an effect on presence moves a gene by its whole level."""
    return (cells.level / np.average(cells.level, weights=np.maximum(cells.seen, 1))) ** cells.zeros


def _penalise(slopes: np.ndarray, solve: Callable[[np.ndarray], np.ndarray]) -> None:
    """Make coefficients of regressions on all genes of slopes, lambda inverse(R + lambda) S, in place, by columns."""

    def work(first: int) -> None:
        part = slice(first, first + _COLUMNS)
        slopes[:, part] = solve(np.ascontiguousarray(slopes[:, part]))

    with threadpool_limits(1, "blas"):
        in_parallel(work, range(0, slopes.shape[1], _COLUMNS))
    np.fill_diagonal(slopes, 0)


def _by_genes(correlation: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return what penalises columns, from the correlations R, which it takes the place of."""
    correlation /= np.float32(_PENALTY)
    correlation.flat[:: len(correlation) + 1] += 1
    factor = cho_factor(correlation.T, overwrite_a=True, check_finite=False)
    return lambda columns: cho_solve(factor, columns, check_finite=False)


def _by_cells(cells: Regression, profiles: sparse.csr_matrix, totals: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return the same where cells are fewer than genes, from R = X'X: S - X' inverse(X X' + lambda) X S (Woodbury).

    X, cells x genes, are standardised predictors times the root of the weight of the cell: a sparse matrix less a
    product of two vectors.
    """
    weight = np.sqrt(totals / totals.sum()).astype(np.float32)
    centre = (cells.centre / cells.spread).astype(np.float32)
    value = cells.sides(profiles, totals).value / cells.spread[profiles.indices]
    rows = like(profiles, (value * np.repeat(weight, np.diff(profiles.indptr))).astype(np.float32))
    columns, gram = rows.tocsc(), np.zeros((len(weight), len(weight)), dtype=np.float32)
    for genes in pieces(len(centre), 64 * len(weight)):
        part = columns[:, genes].toarray() - np.outer(weight, centre[genes])
        gram += part @ part.T
    gram.flat[:: len(gram) + 1] += _PENALTY
    factor, across = cho_factor(gram.T, overwrite_a=True, check_finite=False), columns.T

    def solve(slopes: np.ndarray) -> np.ndarray:
        found = cho_solve(factor, rows @ slopes - np.outer(weight, centre @ slopes), check_finite=False)
        return slopes - across @ found + np.outer(centre, weight @ found)

    return solve
