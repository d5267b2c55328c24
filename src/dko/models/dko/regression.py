"""The slope of every gene on every other, from sums over cells that are read block by block: docs/design.md, Slopes.

Levels of genes are predictors, and shares of genes responses.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np
from scipy import sparse

from ..._core.evidence import as_counts
from ..._settings import settings
from .._parallel import in_parallel
from ..base import like, pieces
from ..rows import Rows, blocks_of, sizes_of
from ..rows import profiles as relative_profiles
from ..sharing import Each, added_up, all_at_once
from .kernels import Predictors, Sides, add_products

# Scale of log1p, and number of counts of a cell where they are unknown.
_SCALE = 1e4
# A predictor that varies by less of its second moment has nothing to say.
_CONSTANT = 1e-4
# Response where a gene is absent: that of a ratio of 0.
_ABSENT = -1.0
# Least relative variance beyond counting noise, and how often it and the zeros that it explains are estimated in turn.
_DISPERSION, _ROUNDS = 1e-3, 10
# Genes, evenly spread, whose presence is compared.
_SOME_GENES = 500
# Predictors that one thread takes at a time.
_PIECE = 32
# A number of a dense matrix product takes about this part of the time of one that is added in its place.
_DENSE = 24
# Bytes of what is made of an entry of a cell.
PER_ENTRY = 2048
_TINY = 1e-12

# Pairs of genes in cells for each number that is found about them: with fewer, to send it takes longer than to find it.
_WORTH = 64

R = TypeVar("R")
Blocks: TypeAlias = Iterable[tuple[sparse.csr_matrix, np.ndarray]]
"""Cells block by block: relative profiles, cells x genes, and the total of each cell."""


class Cells(Protocol):
    """All cells of a regression."""

    def __call__(self, work: Callable[[Blocks], R], /) -> Iterator[R]:
        """Read them, each time anew, and yield what `work` finds in all or in one part after the other, in order."""


@dataclass(frozen=True)
class Regression:
    """Weighted regressions of every gene's share on every other gene's level: docs/design.md, Slopes."""

    n_cells: int
    mean_total: float  # a cell weighs its total over this
    seen: np.ndarray  # number of cells that have each gene (genes,)
    profile: np.ndarray  # mean share of each gene (genes,)
    level: np.ndarray  # mean of log1p(1e4 p) where the gene is present (genes,)
    zeros: np.ndarray  # weight of the zeros of each gene, w (genes,)
    weight: np.ndarray  # sum of the weights of each response (genes,)
    spread: np.ndarray  # weighted standard deviation of each predictor (genes,); infinite where it hardly varies
    centre: np.ndarray  # weighted mean of each predictor (genes,)
    share: np.ndarray  # weighted mean share of each gene (genes,)
    mean: np.ndarray  # weighted mean of each response (genes,)

    def values(self, shares: np.ndarray, genes: np.ndarray) -> np.ndarray:
        """Return predictors, not centred, of shares above 0 of some genes."""
        zeros = self.zeros[genes]
        return (1 + zeros) / 2 * np.log1p(_SCALE * shares) / self.level[genes] + (1 - zeros) / 2

    def sides(self, profiles: sparse.csr_matrix, totals: np.ndarray) -> Sides:
        """Return both sides in some cells."""
        genes, shares = profiles.indices, profiles.data.astype(float)
        depth, zeros, absent = totals / self.mean_total, self.zeros[genes], self.zeros * (_ABSENT - self.mean)
        of_entry, ratio = np.repeat(depth, np.diff(profiles.indptr)), shares / self.share[genes]
        value = self.values(shares, genes)
        own = (value - self.centre[genes]) * growth(shares)
        response = zeros * (ratio - 1) + (1 - zeros) * np.log(ratio)
        residual = of_entry * (response - self.mean[genes] - absent[genes])
        left, sums = (np.bincount(genes, one, len(absent)) for one in (residual, of_entry * value))
        gain = of_entry * (zeros * ratio + 1 - zeros)
        value, own, residual, gain = (one.astype(np.float32) for one in (value, own, residual, gain))
        return Sides(
            *(profiles.indptr, genes.astype(np.uint32), value, own, residual, gain),
            *(depth, absent, self.centre, left + depth.sum() * absent, sums),
        )

    def add_products(self, rows: Predictors, sides: Sides, products: np.ndarray, together: np.ndarray) -> None:
        """Add sums over cells of centred predictors x residuals, and x centred predictors (rows x genes, float32)."""
        pairs = np.diff(sides.indptr)[rows.cell].sum()
        if _DENSE * pairs > len(sides.depth) * products.size:
            self._add_dense_products(rows, sides, products, together)
            return

        def work(first: int) -> None:
            add_products(rows, sides, first, min(first + _PIECE, len(rows.centre)), products, together)

        in_parallel(work, range(0, len(rows.centre), _PIECE))

    def _add_dense_products(self, rows: Predictors, sides: Sides, products: np.ndarray, together: np.ndarray) -> None:
        """Do the same with dense matrices."""
        shape = len(sides.depth), len(sides.absent)
        value, own = (
            sparse.csc_matrix((one, rows.cell, rows.indptr), (shape[0], len(rows.centre))).tocsr()
            for one in (rows.value, rows.own)
        )
        of_all, residual, gain = (
            sparse.csr_matrix((one, sides.indices.astype(np.int32), sides.indptr), shape)
            for one in (sides.value, sides.residual, sides.gain)
        )
        for cells in pieces(shape[0], 64 * shape[1]):
            depth, centred = sides.depth[cells, None], (value[cells].toarray() - rows.centre).astype(np.float32)
            products += centred.T @ (residual[cells].toarray() + depth * sides.absent).astype(np.float32)
            products += own[cells].toarray().astype(np.float32).T @ gain[cells].toarray().astype(np.float32)
            together += centred.T @ (depth * (of_all[cells].toarray() - self.centre)).astype(np.float32)

    def standardise(self, products: np.ndarray, together: np.ndarray, genes: np.ndarray) -> None:
        """Divide these sums by the standard deviations of the predictors, in place; the rows are those of `genes`."""
        spread = self.spread.astype(np.float32)
        products /= spread[genes, None]
        together /= spread[genes, None]
        together /= spread * np.float32(self.n_cells)


def in_memory(profiles: sparse.csr_matrix, totals: np.ndarray, each: Each = all_at_once) -> Cells:
    """Return cells that are in memory, for work that is done as `each` does it."""

    def on_all(work: Callable[[Blocks], R]) -> Iterator[R]:
        return each(partial(_with_totals, work, totals), profiles, least_cells(*_sizes(profiles)))

    return on_all


def _with_totals(work: Callable[[Blocks], R], totals: np.ndarray, profiles: sparse.csr_matrix, rows: slice) -> R:
    there = totals[rows]
    return work((block, there[some]) for some, block in blocks_of(profiles, PER_ENTRY))


def of_rows(values: Rows, each: Each, *, counts: bool, counted: bool) -> Cells:
    """Return cells of linear values that are `counts`, or from which counts can be had (`counted`), or neither."""

    def on_all(work: Callable[[Blocks], R]) -> Iterator[R]:
        return each(partial(_made, work, counts, counted), values, least_cells(*_sizes(values)))

    return on_all


def _made(work: Callable[[Blocks], R], counts: bool, counted: bool, values: Rows, rows: slice) -> R:
    return work(profile_blocks(values, counts=counts, counted=counted))


def profile_blocks(values: Rows, *, counts: bool, counted: bool) -> Blocks:
    """Yield the profiles of such cells and their totals: of counts, if there are any."""
    for _, block in blocks_of(values, PER_ENTRY):
        relative = relative_profiles(block)
        summed = block if counts or not counted else as_counts(relative)
        yield relative, summed @ np.ones(block.shape[1])  # in double precision, other than by sum()


def least_cells(n_genes: int, present: float) -> int:
    """Return how many cells, with so many `present` genes each, make a part that is worth sharing.

    What is found of a part are two numbers for each pair of genes. Where these do not fit into memory it is all cells.
    """
    if 8 * n_genes**2 > settings.memory_budget:
        return sys.maxsize
    return ceil(_WORTH * n_genes**2 / max(min(present**2, n_genes**2 / _DENSE), 1))


def _sizes(values: Any) -> tuple[int, float]:
    return values.shape[1], float(sizes_of(values).mean())


def growth(shares: np.ndarray) -> np.ndarray:
    """Return by which part the other shares of a cell grow where a gene is left out; as if half, where it is all."""
    return shares / np.maximum(1 - shares, 0.5)


def regression(cells: Cells, *, counts: bool) -> Regression:
    """Prepare the regressions; without `counts`, 10,000 a cell are assumed. All cells are read, and then some genes."""
    of_parts, totals_of_parts = zip(*cells(_sums), strict=True)
    totals, (sums,) = np.concatenate(totals_of_parts), added_up((one,) for one in of_parts)
    seen, share, square, log, *weighted = sums
    n_cells, mean_total = len(totals), float(totals.mean())
    there, weighted_share, ratio, logs, squares = np.stack(weighted) / mean_total
    level = np.maximum(log / np.maximum(seen, 1), _TINY)
    # How fully a zero counts as a low level, from 0 to 1: it was not sampled, or is regulated.
    typical = float(np.median(totals)) if counts else _SCALE
    zeros = _sampled(seen, n_cells, typical * share, typical**2 * square)
    zeros += (1 - zeros) * _regulated(cells, seen, n_cells)
    absent = zeros * (n_cells - there)
    weight = np.maximum(there + absent, _TINY)
    mean_share = np.maximum(weighted_share / weight, _TINY)
    response = zeros * (weighted_share / mean_share - there) + (1 - zeros) * (ratio - np.log(mean_share) * there)
    slope, presence = (1 + zeros) / 2 / level, (1 - zeros) / 2
    centre = (slope * logs + presence * there) / n_cells
    second = (slope**2 * squares + 2 * slope * presence * logs + presence**2 * there) / n_cells
    varies = second - centre**2 > _CONSTANT * (second + _TINY)
    spread = np.where(varies, np.sqrt(np.maximum(second - centre**2, _TINY)), np.inf)
    mean = (response + _ABSENT * absent) / weight
    return Regression(
        *(n_cells, mean_total, seen, share / n_cells, level),
        *(zeros, weight, spread, centre, mean_share, mean),
    )


def _sums(cells: Blocks) -> tuple[np.ndarray, np.ndarray]:
    """Return sums over cells, nine of each gene, and the total of each cell."""
    sums: np.ndarray | float = 0.0
    parts = []
    for profiles, totals in cells:
        shares, of_entry = profiles.data.astype(float), np.repeat(totals, np.diff(profiles.indptr))
        logs, ones = np.log1p(_SCALE * shares), np.ones(len(shares))
        summed = [ones, shares, shares**2, logs]
        summed += [of_entry * one for one in (ones, shares, np.log(shares), logs, logs**2)]
        sums += np.stack([np.bincount(profiles.indices, one, profiles.shape[1]) for one in summed])
        parts.append(totals)
    return np.asarray(sums), np.concatenate(parts)


class Slopes(NamedTuple):
    """One regression per pair of genes."""

    z: np.ndarray  # slope over its error, gene g (row) as the predictor of gene j (column), 0 on the diagonal
    error: np.ndarray  # standard error of the slopes on one standard deviation of any gene (genes j,)
    correlation: np.ndarray  # weighted correlations between predictors


def slopes(found: Regression, cells: Cells) -> Slopes:
    """Fit the regressions, with White's standard errors by response: docs/design.md, Slopes."""
    z, correlation, squares = added_up(cells(partial(_products, found)))
    noise = np.sqrt(np.maximum(squares, _TINY))
    found.standardise(z, correlation, np.arange(len(noise)))
    z /= noise.astype(np.float32)
    np.fill_diagonal(z, 0)
    return Slopes(z, noise / found.weight, correlation)


def _products(found: Regression, cells: Blocks) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the sums of all predictors x residuals and x predictors (genes x genes), and of squared residuals."""
    n_genes = len(found.level)
    products, together = (np.zeros((n_genes, n_genes), dtype=np.float32) for _ in range(2))
    squares = np.zeros(n_genes)
    for profiles, totals in cells:
        sides = found.sides(profiles, totals)
        across = like(profiles, np.arange(profiles.nnz)).tocsc()
        own = Predictors(across.indptr, across.indices, sides.value[across.data], sides.own[across.data], found.centre)
        found.add_products(own, sides, products, together)
        absent = np.repeat(sides.depth, np.diff(sides.indptr)) * sides.absent[sides.indices]
        residual = sides.residual.astype(float)
        squares += np.bincount(sides.indices, residual * (residual + 2 * absent), n_genes)
        squares += np.square(sides.absent) * np.square(sides.depth).sum()
    return products, together, squares


def _sampled(seen: np.ndarray, n_cells: int, total: np.ndarray, square: np.ndarray) -> np.ndarray:
    """Return how likely it is that a gene which was not seen was only not sampled (genes,), by a negative binomial.

    `total` and `square` are sums over cells of its counts, and of their squares.
    """
    zeros, found = n_cells - seen, np.ones(len(seen))
    for _ in range(_ROUNDS):
        having = np.maximum(seen + found * zeros, _TINY)
        mean = np.maximum(total / having, _TINY)
        dispersion = np.maximum(square / having - mean**2 - mean, _DISPERSION * mean) / mean**2
        by_chance = np.exp(-np.log1p(dispersion * mean) / dispersion)
        found = np.minimum(1, (by_chance * having + 1) / (zeros + 1))
    return np.where(seen > 0, found, 0)


def _regulated(cells: Cells, seen: np.ndarray, n_cells: int) -> float:
    """Return the share of the variance of correlations between the presence of genes that chance does not explain."""
    vary = np.flatnonzero((seen > 0) & (seen < n_cells))
    some = vary[np.unique(np.linspace(0, len(vary) - 1, min(len(vary), _SOME_GENES)).astype(int))]
    if len(some) < 3:
        return 0.0
    share, (together,) = seen[some] / n_cells, added_up(cells(partial(_meetings, some)))
    sd = np.sqrt(share * (1 - share))
    correlation = (together / n_cells - np.outer(share, share)) / np.outer(sd, sd)
    np.fill_diagonal(correlation, np.nan)
    return max(0.0, 1 - 1 / max(n_cells * float(np.nanvar(correlation, axis=0).mean()), 1.0))


def _meetings(genes: np.ndarray, cells: Blocks) -> tuple[np.ndarray]:
    """Return how many cells have both of two genes."""
    together = np.zeros((len(genes), len(genes)))
    for profiles, _ in cells:
        chosen = profiles[:, genes]
        presence = like(chosen, np.ones(chosen.nnz))
        together += (presence.T @ presence).toarray()
    return (together,)
