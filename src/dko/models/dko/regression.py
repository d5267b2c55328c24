"""The slope of every gene on every other, and what those of permuted genes make of it.

Levels of genes are predictors, and shares of genes responses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.stats import genpareto

from ..base import pieces

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
# Permuted genes: so many at least, and more where there are few genes, but none more often than so.
_DRAWS, _ENTRIES, _EACH = 512, 2**21, 32
# Draws, of genes that about as many cells have, that a gene is compared with.
_COMPARED = 128
# Shapes that its tail can have: draws of few genes tell a heavy tail from a light one badly, and genes that have one
# outlying cell in common are rarer than one in a thousand.
_SHAPES = (0.2, 0.9)
# Draws in the tail that a distribution is fitted to, at least.
_FEWEST = 20
_TINY = 1e-12


@dataclass(frozen=True)
class Regression:
    """Weighted regressions of every gene's share on every other gene's level: docs/design.md, Slopes."""

    profiles: sparse.csr_matrix  # relative profiles, cells x genes
    depth: np.ndarray  # weight of each cell, its depth over the mean (cells,)
    level: np.ndarray  # mean of log1p(1e4 p) where the gene is present (genes,)
    zeros: np.ndarray  # weight of the zeros of each gene, w (genes,)
    weight: np.ndarray  # sum of the weights of each response (genes,)
    spread: np.ndarray  # weighted standard deviation of each predictor (genes,); infinite where it hardly varies
    _centre: np.ndarray
    _mean_share: np.ndarray
    _mean: np.ndarray

    def predictors(self, shares: np.ndarray, genes: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return standardised predictors, of mean 0 and variance 1, float32, from the shares of some genes."""
        values = np.log1p(np.float32(_SCALE) * shares)
        values *= ((1 + self.zeros[genes]) / 2 / self.level[genes]).astype(np.float32)
        values += np.where(shares > 0, ((1 - self.zeros[genes]) / 2).astype(np.float32), np.float32(0))
        values -= self._centre[genes].astype(np.float32)
        values /= self.spread[genes].astype(np.float32)
        return values

    def residuals(self, cells: slice, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return weight x (response - mean), and by how much it rises with the log of the share; dense, float32."""
        present = shares > 0
        ratio = shares / self._mean_share.astype(np.float32)
        zeros, weight = self.zeros.astype(np.float32), self.depth[cells, None].astype(np.float32)
        with np.errstate(divide="ignore", invalid="ignore"):
            response = np.where(present, zeros * (ratio - 1) + (1 - zeros) * np.log(ratio), np.float32(_ABSENT))
        residuals = weight * np.where(present, 1, zeros) * (response - self._mean.astype(np.float32))
        return residuals, weight * np.where(present, zeros * ratio + (1 - zeros), 0)

    def products(
        self, genes: np.ndarray | slice = slice(None), moved: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return sums of products of predictors with residuals and with predictors, and of squares of residuals.

        The former are of some `genes`, as they are or with shares that were `moved` among cells, x all genes, float32;
        the responses are shares among the genes other than the predictor. The latter are of all genes, as they are.
        """
        n_genes = len(self.weight)
        n_predictors = n_genes if isinstance(genes, slice) else len(genes)
        products, together = (np.zeros((n_predictors, n_genes), dtype=np.float32) for _ in range(2))
        squares = np.zeros(n_genes)
        for cells in pieces(self.profiles.shape[0], 64 * n_genes):
            shares = self.profiles[cells].toarray()
            every, (residuals, gains) = self.predictors(shares), self.residuals(cells, shares)
            values = every if moved is None else self.predictors(moved[cells], genes)
            products += values.T @ residuals
            # By this part the other shares of a cell grow where a gene is left out; as if half, where it is all.
            own = shares[:, genes]
            products += (values * (own / np.maximum(1 - own, np.float32(0.5)))).T @ gains
            together += values.T @ (every * (self.depth[cells, None] / self.depth.sum()).astype(np.float32))
            squares += np.square(residuals, dtype=np.float64).sum(0)
        return products, together, squares


def regression(profiles: sparse.csr_matrix, totals: np.ndarray, *, counts: bool) -> Regression:
    """Prepare the regressions from relative profiles and totals; without `counts`, 10,000 a cell are assumed."""
    n_genes, indices = profiles.shape[1], profiles.indices
    depth = totals / totals.mean()
    of_entry = np.repeat(depth, np.diff(profiles.indptr))

    def sums(values: np.ndarray | float) -> np.ndarray:
        """Sum of a number per entry, over cells with their weights (genes,)."""
        return np.bincount(indices, weights=of_entry * values, minlength=n_genes)

    seen, there = np.bincount(indices, minlength=n_genes), sums(1.0)
    logs = np.log1p(_SCALE * profiles.data)
    level = np.maximum(np.bincount(indices, weights=logs, minlength=n_genes) / np.maximum(seen, 1), _TINY)
    # How fully a zero counts as a low level, from 0 to 1: it was not sampled, or is regulated.
    zeros = _sampled(profiles, seen, float(np.median(totals)) if counts else _SCALE)
    zeros += (1 - zeros) * _regulated(profiles, seen)
    absent = zeros * (depth.sum() - there)
    weight = np.maximum(there + absent, _TINY)
    mean_share = np.maximum(sums(profiles.data) / weight, _TINY)
    ratio, linear = profiles.data / mean_share[indices], zeros[indices]
    response = linear * (ratio - 1) + (1 - linear) * np.log(ratio)
    predictor = (1 + linear) / 2 * logs / level[indices] + (1 - linear) / 2
    centre, square = (sums(predictor**power) / depth.sum() for power in (1, 2))
    varies = square - centre**2 > _CONSTANT * (square + _TINY)
    spread = np.where(varies, np.sqrt(np.maximum(square - centre**2, _TINY)), np.inf)
    mean = (sums(response) + _ABSENT * absent) / weight
    return Regression(profiles, depth, level, zeros, weight, spread, centre, mean_share, mean)


class Slopes(NamedTuple):
    """One regression per pair of genes."""

    z: np.ndarray  # slope over its error, gene g (row) as the predictor of gene j (column), 0 on the diagonal
    error: np.ndarray  # standard error of the slopes on one standard deviation of any gene (genes j,)
    correlation: np.ndarray  # weighted correlations between predictors


def slopes(regression: Regression) -> Slopes:
    """Fit the regressions by matrix products, with White's standard errors by response: docs/design.md, Slopes."""
    products, together, squares = regression.products()
    noise = np.sqrt(np.maximum(squares, _TINY))
    products /= noise.astype(np.float32)
    np.fill_diagonal(products, 0)
    return Slopes(products, noise / regression.weight, together)


def _sampled(profiles: sparse.csr_matrix, seen: np.ndarray, typical: float) -> np.ndarray:
    """Return how likely it is that a gene which was not seen was only not sampled (genes,), by a negative binomial."""
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
    """Return the share of the variance of correlations between the presence of genes that chance does not explain."""
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


@dataclass(frozen=True)
class Null:
    """Regressions of all genes on permuted ones."""

    genes: np.ndarray  # which gene was permuted (draws,)
    changes: np.ndarray  # what its loss would seem to do, by one standard deviation of the gene (draws x genes)


def permuted(regression: Regression, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Regress every gene on genes whose amounts are permuted among cells, drawn evenly over the number of cells.

    Returned are which genes were permuted (draws,), sums of products with the residuals, and correlations with the
    predictors, of all genes (draws x genes, float32).
    """
    profiles, n_genes = regression.profiles, len(regression.weight)
    able = np.flatnonzero(np.isfinite(regression.spread))
    seen = np.bincount(profiles.indices, minlength=n_genes)
    by_seen = able[np.lexsort([regression.level[able], seen[able]])]
    n_draws = max(_DRAWS, min(_ENTRIES // n_genes, _EACH * n_genes))
    genes = by_seen[np.arange(n_draws) * len(by_seen) // n_draws] if len(able) else np.zeros(n_draws, dtype=int)
    depth, found = regression.depth[:, None].astype(np.float32), []
    for draws in pieces(n_draws, 64 * len(depth)):
        some = genes[draws]
        # Shares where only the amounts of these genes are permuted, beside all other genes.
        amount = profiles[:, some].toarray() * depth
        others = depth - amount
        amount = rng.permuted(amount, axis=0)
        found.append(regression.products(some, amount / np.maximum(others + amount, np.float32(_TINY)))[:2])
    products, together = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return genes, products, together


def p_values(downstream: np.ndarray, null: Null, seen: np.ndarray, profile: np.ndarray) -> np.ndarray:
    """Return a p-value for each gene that its knockout changes other genes: docs/design.md, Evidence.

    `downstream` are impacts on the mean `profile` by one standard deviation of each gene, `seen` the cells that have
    it.
    """
    # Among genes that all cells have, those of about the same share.
    abundance = seen + profile
    by_seen = np.argsort(abundance[null.genes], kind="stable")
    by_chance = impacts(null.changes[by_seen].astype(np.float32), null.genes[by_seen], profile)
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


def impacts_of_all(influence: np.ndarray, profile: np.ndarray) -> np.ndarray:
    """Return the downstream impact of each gene on a profile, to first order, from A (column g of gene g)."""
    genes, found = np.arange(len(profile)), np.empty(len(profile))
    for some in pieces(len(genes), 32 * len(genes)):
        found[some] = impacts(influence[:, some].T, genes[some], profile)
    return found


def impacts(changes: np.ndarray, genes: np.ndarray, profile: np.ndarray) -> np.ndarray:
    """Return half the sum of p_j |a_j - mean a| over all genes but one, per row of changes; p sums to 1 without it."""
    weights = np.broadcast_to(profile, changes.shape).copy()
    weights[np.arange(len(genes)), genes] = 0
    weights /= np.maximum(weights.sum(1, keepdims=True), _TINY)
    centred = changes - (changes * weights).sum(1, keepdims=True)
    return 0.5 * (np.abs(centred) * weights).sum(1)
