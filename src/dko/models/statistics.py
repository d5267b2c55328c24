"""Whether genes are co-expressed, more than the depth of the cells explains; and how sure means over cells are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.stats import gamma, norm, poisson

from .base import like, pieces

# Of the smallest eigenvalue of a gene's covariates over the largest: below, they say the same thing.
_SAME = 1e-9
# A level whose variance is less of its second moment than this is constant.
_CONSTANT = 1e-9
# Of the variance without regard to depth, at least this is left.
_LEAST_UNEVEN = 0.25
_LEAST_SKEWNESS = 1e-3
# Genes that are expected to meet in fewer cells have to meet in more than chance has it.
_FEW = 2.0
_HALF, _TINY = 0.5, 1e-300
# Which of the covariates is the log total.
_TOTAL = 3


def pair_test(values: sparse.csr_matrix, genes: np.ndarray, min_cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Test `genes` for co-expression with others by all permutations of cells; return z-scores and two-sided p-values.

    What depth explains of levels (log1p of counts) is taken off by regression on 1, l, l^2, t and t^2, with l the log
    number of present genes and t the log total; for a predictor the depth is that of the other genes. If the predictor
    is permuted in all ways, mean, variance and skewness of the sum of predictor x response are known exactly; a gamma
    distribution has the same (Pearson III). That is too few for genes expected to meet in fewer than two cells: these
    also have to meet in more cells than a Poisson distribution has it. float64 (genes, all genes); NaN and 1 where
    nothing is tested.
    """
    kept = np.bincount(values.indices, minlength=values.shape[1]) >= min_cells
    levels, rows = levels_of(values, kept), (np.cumsum(kept) - 1)[genes]
    z, p_values = np.full((len(genes), len(kept)), np.nan), np.ones((len(genes), len(kept)))
    found = _z_scores(levels, rows)
    tested = levels.varies[rows][:, None] & levels.varies
    tested[np.arange(len(rows)), rows] = False
    z[:, kept] = np.where(tested, found, np.nan)
    p_values[:, kept] = np.where(tested, _p_values(found, levels, rows), 1)
    return z, p_values


def comparable(values: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return values that are no counts over the geometric mean of the cell's present ones, so that no total counts."""
    present = np.diff(values.indptr)
    row = np.repeat(np.arange(len(present)), present)
    logs = np.log(np.maximum(values.data.astype(np.float64), _TINY))
    mean = np.bincount(row, weights=logs, minlength=len(present)) / np.maximum(present, 1)
    return like(values, np.exp(logs - mean[row]))


class Residuals(NamedTuple):
    """Cells x genes: levels less depth (cells, covariates) times slopes (genes, covariates)."""

    levels: sparse.csr_matrix
    depth: np.ndarray
    slopes: np.ndarray

    def of(self, cells: slice) -> np.ndarray:
        """Return those of some cells, dense float32."""
        return (self.levels[cells].toarray() - self.depth[cells] @ self.slopes.T).astype(np.float32)


class Levels(NamedTuple):
    """The two sides of the association of every gene with every other."""

    # predictors, responses: levels with the depth of the cell taken off: that of the other genes, and that of all
    predictors: Residuals
    responses: Residuals
    # of_predictors, of_responses: sums over cells of their powers, from the first to the fourth (4, genes)
    of_predictors: np.ndarray
    of_responses: np.ndarray
    own: np.ndarray  # sums of predictors x the depth of all: their own part in it (genes, covariates)
    uneven: np.ndarray  # how the variance of a level changes with depth: its relative slopes (genes, covariates)

    @property
    def n_free(self) -> int:
        """Number of cells less that of covariates."""
        return self.predictors.depth.shape[0] - self.predictors.depth.shape[1]

    @property
    def varies(self) -> np.ndarray:
        """Genes whose level varies beyond depth, so that there is something to test, bool (genes,)."""
        squares = np.asarray(self.responses.levels.power(2).sum(0), dtype=np.float64).ravel()
        smaller = np.minimum(self.of_predictors[1], self.of_responses[1])
        return (smaller > _CONSTANT * np.maximum(squares, _TINY)) & (self.n_free > 0)


def levels_of(values: sparse.csr_matrix, kept: np.ndarray) -> Levels:
    """Prepare the levels of the `kept` genes (a mask); the others count for the depth only."""
    n_present = np.diff(values.indptr).astype(np.float64)
    totals = np.asarray(values.sum(axis=1, dtype=np.float64)).ravel()
    some = sparse.csr_matrix(values[:, kept])
    some.sum_duplicates()
    row, n_genes = np.repeat(np.arange(some.shape[0]), np.diff(some.indptr)), some.shape[1]
    counts = some.data.astype(np.float64)
    centre = _logs(n_present, totals).mean(0)
    depth = _covariates(_logs(n_present, totals) - centre)
    # At the entries of a gene: the depth of the cell with it and without it. Where it is absent, it has no part in it.
    of_all, of_others = depth[row], _covariates(_logs(n_present[row] - 1, totals[row] - counts) - centre)
    less = of_others - of_all
    # Sums over the entries of each gene, for all cells corrected at these.
    by_gene = sparse.csc_matrix((np.ones(some.nnz), some.indices, np.arange(some.nnz + 1)), (n_genes, some.nnz))
    products = [
        depth.T @ column + by_gene @ (of_others * of_others[:, [i]] - of_all * of_all[:, [i]])
        for i, column in enumerate(depth.T)
    ]
    inverse = np.linalg.pinv(np.stack(products, axis=1), rcond=_SAME, hermitian=True)
    level = np.log1p(counts)
    of_predictor = np.einsum("gab,gb->ga", inverse, by_gene @ (of_others * level[:, None]))
    of_response = by_gene @ (of_all * level[:, None]) @ np.linalg.pinv(depth.T @ depth, rcond=_SAME, hermitian=True)
    entries = level - (less * of_predictor[some.indices]).sum(1)

    def residuals(data: np.ndarray, slopes: np.ndarray) -> Residuals:
        data = data.astype(np.float32)
        return Residuals(sparse.csr_matrix((data, some.indices, some.indptr), shape=some.shape), depth, slopes)

    predictors, responses = residuals(entries, of_predictor), residuals(level, of_response)
    of_predictors, of_responses = np.zeros((2, 4, n_genes))
    own, square = np.zeros((2, n_genes, depth.shape[1]))
    for cells in pieces(some.shape[0], 32 * n_genes):
        one, other = (side.of(cells).astype(np.float64) for side in (predictors, responses))
        of_predictors += _power_sums(one)
        of_responses += _power_sums(other)
        own += one.T @ depth[cells]
        square += np.square(one).T @ depth[cells]
    n_cells = max(some.shape[0], 1)
    at = np.square(entries - (of_all * of_predictor[some.indices]).sum(1))
    variance = of_predictors[1] / n_cells
    square += by_gene @ (less * at[:, None])
    slopes = np.einsum("gab,gb->ga", inverse, square) / np.maximum(variance, _TINY)[:, None]
    kurtosis = of_predictors[3] / n_cells / np.maximum(variance**2, _TINY)
    noise = (depth.shape[1] - 1) / n_cells * np.maximum(kurtosis - 1, _CONSTANT)
    uneven = _shrunken(slopes, noise, by_gene @ level / n_cells, depth)
    return Levels(predictors, responses, of_predictors, of_responses, own, uneven)


def _logs(n_present: np.ndarray, totals: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(np.stack([n_present, totals], axis=1), _HALF))


def _covariates(logs: np.ndarray) -> np.ndarray:
    genes, total = logs.T
    return np.stack([np.ones_like(genes), genes, genes**2, total, total**2], axis=1)


def _power_sums(values: np.ndarray) -> np.ndarray:
    square = np.square(values)
    return np.stack([values.sum(0), square.sum(0), (square * values).sum(0), np.square(square).sum(0)])


def _shrunken(slopes: np.ndarray, noise: np.ndarray, mean: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Shrink the slopes of variances to what genes of such a level have, as far as they are noise (James and Stein)."""
    log_mean = np.log(np.maximum(mean, _TINY))
    known = np.isfinite(log_mean) & (mean > 0)
    if not known.any():
        return np.zeros_like(slopes)
    log_mean = np.where(known, log_mean, log_mean[known].mean())
    basis = np.stack([np.ones_like(mean), log_mean, log_mean**2], axis=1)
    weight = np.where(known, 1 / np.sqrt(noise), 0)[:, None]
    typical = basis @ np.linalg.lstsq(basis * weight, slopes * weight, rcond=None)[0]
    apart = slopes - typical
    size = np.einsum("ga,ab,gb->g", apart, np.atleast_2d(np.cov(depth, rowvar=False, bias=True)), apart)
    return typical + apart * np.maximum(0, 1 - noise / np.maximum(size, _TINY))[:, None]


def _z_scores(levels: Levels, rows: np.ndarray) -> np.ndarray:
    """Return sums over cells of predictor x response over their standard deviation by chance, given depth, float32."""
    products = np.zeros((len(rows), len(levels.own)), dtype=np.float32)
    n_cells, n_genes = levels.responses.levels.shape
    for cells in pieces(n_cells, 32 * n_genes):
        products += levels.predictors.of(cells)[:, rows].T @ levels.responses.of(cells)
    products += (levels.own[rows] @ levels.responses.slopes.T).astype(np.float32)
    spread = np.cov(levels.predictors.depth, rowvar=False, bias=True)
    unevenness = (1 + levels.uneven[rows] @ spread @ levels.uneven.T).astype(np.float32)
    one, other = np.sqrt(levels.of_predictors[1][rows]), np.sqrt(levels.of_responses[1])
    scale = np.outer(one, other) / np.sqrt(max(levels.n_free, 1)) + np.finfo(np.float32).tiny
    products /= scale.astype(np.float32) * np.sqrt(np.maximum(unevenness, _LEAST_UNEVEN))
    return products


def _p_values(z: np.ndarray, levels: Levels, rows: np.ndarray) -> np.ndarray:
    n_cells = levels.predictors.depth.shape[0]
    cubes = np.outer(levels.of_predictors[2][rows], levels.of_responses[2])
    squares = np.outer(levels.of_predictors[1][rows], levels.of_responses[1])
    # E (sum x y)^3 = n / ((n - 1)(n - 2)) sum x^3 sum y^3, over the variance sum x^2 sum y^2 / (n - 1) to the 3/2.
    shrunken = n_cells * np.sqrt(max(n_cells - 1, 1)) / max(n_cells - 2, 1)
    skewness = shrunken * cubes / np.maximum(squares, np.finfo(float).tiny) ** 1.5
    skewed = np.abs(skewness) > _LEAST_SKEWNESS
    shape = 4 / np.where(skewed, skewness, 1) ** 2
    along = np.where(skewness < 0, -z, z)
    at = np.maximum(shape + along * np.sqrt(shape), 0)
    above = np.where(skewed, gamma.sf(at, shape), norm.sf(along))
    below = np.where(skewed, gamma.cdf(at, shape), norm.cdf(along))
    p_values = np.maximum(2 * np.minimum(above, below), _p_values_of_meetings(levels, rows))
    return np.clip(p_values, np.finfo(float).tiny, 1)


def _p_values_of_meetings(levels: Levels, rows: np.ndarray) -> np.ndarray:
    """Return twice the chance that genes meet in as many cells, deep cells more likely; 0 where many are expected."""
    presence = (levels.responses.levels != 0).astype(np.float32)
    met, seen = (presence[:, rows].T @ presence).toarray(), presence.getnnz(axis=0)
    sizes = np.exp(levels.responses.depth[:, _TOTAL])
    expected = np.outer(seen[rows], seen) * float(np.square(sizes / sizes.sum()).sum())
    few = expected < _FEW
    chances = np.zeros(met.shape)
    chances[few] = 2 * poisson.sf(met[few] - 1, expected[few])
    return chances


def bootstrap_means(
    values: sparse.csr_matrix, n_bootstraps: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return 95 % intervals of the mean of each gene over the cells that have it, by drawing cells; NaN if none has."""
    n_cells, n_genes = values.shape
    if not n_cells:
        return np.full(n_genes, np.nan), np.full(n_genes, np.nan)
    across, there = values.T.tocsr(), like(values, np.ones_like(values.data)).T.tocsr()
    means = np.empty((n_bootstraps, n_genes), dtype=np.float32)
    for rows in pieces(n_bootstraps, 16 * max(n_cells, n_genes)):
        even = np.full(n_cells, 1 / n_cells)
        weights = rng.multinomial(n_cells, even, size=rows.stop - rows.start).T.astype(np.float32)
        n_drawn, total = there @ weights, across @ weights
        # A gene that none of the drawn cells has says nothing.
        means[rows] = np.divide(total, n_drawn, out=np.full_like(total, np.nan), where=n_drawn > 0).T
    known = np.isfinite(means).any(0)
    low, high = np.full((2, n_genes), np.nan)
    quantile = np.quantile if np.isfinite(means[:, known]).all() else np.nanquantile
    low[known], high[known] = quantile(means[:, known], (0.025, 0.975), axis=0)
    return low, high


def normal_means(n_cells: np.ndarray, mean: np.ndarray, squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what :func:`bootstrap_means` tends to with many cells, from their number, mean and sum of squares."""
    n = np.maximum(n_cells, 1)
    margin = norm.ppf(0.975) * np.sqrt(np.maximum(squares / n - np.square(mean), 0) / n)
    margin = np.where(n_cells > 0, margin, np.nan)
    return mean - margin, mean + margin
