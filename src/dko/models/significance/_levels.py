"""Levels of genes with the depth of the cell taken off, each gene's own part in that depth left out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from ..._settings import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

# Of the smallest eigenvalue of a gene's covariates over the largest: below, they say the same thing.
_SAME = 1e-9
# A level whose variance is less of its second moment than this is constant.
_CONSTANT = 1e-9
_HALF, _TINY = 0.5, 1e-300
# Which of the covariates is the log total.
_TOTAL = 3


@dataclass(frozen=True)
class Levels:
    """The two sides of the association of every gene with every other: cells x genes, a sparse part and a small one.

    The level of a gene is log1p of its count. What the depth of the cell explains of it is taken off by regression on
    1, l, l^2, t and t^2, with l the log number of present genes and t the log total. As a predictor a gene is regressed
    on the depth that the other genes give: its counts, however many, move no other gene's level. (With profiles they
    would, as shares sum to 1.) As a response it is regressed on the depth of all.

    Attributes
    ----------
    moments
        Sums over cells of the squares and cubes of predictors, and of responses: ``predictor2``, ``response2`` and so
        on, float64 (genes,).
    kurtosis
        Of each predictor (genes,): large for rare genes.
    uneven
        How the variance of a level changes with depth: its relative slopes (genes, covariates).
    own
        What of the association of predictors with the depth of all is their own part in it (genes, covariates).
    """

    _sparse: sparse.csr_matrix
    _response: sparse.csr_matrix
    _depth: np.ndarray
    _of_predictor: np.ndarray
    _of_response: np.ndarray
    own: np.ndarray
    moments: dict[str, np.ndarray]
    kurtosis: np.ndarray
    uneven: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """Cells, genes."""
        return self._sparse.shape

    @property
    def n_free(self) -> int:
        """Number of cells less that of covariates."""
        return self.shape[0] - self._depth.shape[1]

    @cached_property
    def varies(self) -> np.ndarray:
        """Genes whose level varies beyond depth, so that there is something to test, bool (genes,)."""
        least = _CONSTANT * np.maximum(np.asarray(self._response.power(2).sum(0), dtype=np.float64).ravel(), _TINY)
        smaller = np.minimum(self.moments["predictor2"], self.moments["response2"])
        return (smaller > least) & (self.n_free > 0)

    @property
    def own_shift(self) -> np.ndarray:
        """What sums of predictor x response lack of those with what the other genes leave of responses, (g, g)."""
        return (self.own @ self._of_response.T).astype(np.float32)

    @property
    def unevenness(self) -> np.ndarray:
        """Variance of such sums over that with the same variances at all depths, float32 (genes, genes)."""
        spread = np.cov(self._depth, rowvar=False, bias=True)
        return (1 + self.uneven @ spread @ self.uneven.T).astype(np.float32)

    @property
    def sizes(self) -> np.ndarray:
        """Totals of the cells, but for one factor (cells,)."""
        return np.exp(self._depth[:, _TOTAL])

    @property
    def seen(self) -> np.ndarray:
        """In how many cells each gene is present (genes,)."""
        return np.bincount(self._response.indices, minlength=self.shape[1])

    def meetings(self, genes: np.ndarray) -> np.ndarray:
        """Return in how many cells some genes (rows) are present together with every gene, float32."""
        presence = self._response != 0
        return (presence[:, genes].T.astype(np.float32) @ presence.astype(np.float32)).toarray()

    def predictors(self, rows: slice | np.ndarray) -> np.ndarray:
        """Return predictors of some cells, dense float32."""
        return (self._sparse[rows].toarray() - self._depth[rows] @ self._of_predictor.T).astype(np.float32)

    def responses(self, rows: slice | np.ndarray) -> np.ndarray:
        """Return responses of some cells, dense float32."""
        return (self._response[rows].toarray() - self._depth[rows] @ self._of_response.T).astype(np.float32)

    def blocks(self) -> Iterator[slice]:
        """Yield rows of so many cells as fit into memory."""
        step = max(1, settings.memory_budget // (32 * self.shape[1]))
        yield from (slice(first, first + step) for first in range(0, self.shape[0], step))


def comparable(values: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return values that are no counts over the geometric mean of the cell's present ones, which hardly knows any gene.

    However they were normalised, the total of the cell that they were divided by falls out.
    """
    present = np.diff(values.indptr)
    row = np.repeat(np.arange(len(present)), present)
    logs = np.log(np.maximum(values.data.astype(np.float64), _TINY))
    mean = np.bincount(row, weights=logs, minlength=len(present)) / np.maximum(present, 1)
    return sparse.csr_matrix((np.exp(logs - mean[row]), values.indices, values.indptr), shape=values.shape)


def levels(values: sparse.csr_matrix, kept: np.ndarray) -> Levels:
    """Prepare the levels of some genes.

    Parameters
    ----------
    values
        Counts, or :func:`comparable` values, cells x all genes.
    kept
        Mask of the genes to compare with each other; the others count for the depth only.
    """
    n_present = np.diff(values.indptr).astype(np.float64)
    totals = np.asarray(values.sum(axis=1, dtype=np.float64)).ravel()
    some = sparse.csr_matrix(values[:, kept])
    some.sum_duplicates()
    row = np.repeat(np.arange(some.shape[0]), np.diff(some.indptr))
    counts = some.data.astype(np.float64)
    centre = _logs(n_present, totals).mean(0)
    depth = _covariates(n_present, totals, centre)
    # At the entries of a gene: the depth of the cell without it. Where the gene is absent, it has no part in it.
    less = _covariates(n_present[row] - 1, totals[row] - counts, centre) - depth[row]
    sums = _Sums(some.indices, some.shape[1], depth, row, less)
    level = np.log1p(counts)
    of_predictor = np.einsum("gab,gb->ga", sums.inverse, sums.without(level))
    of_response = sums.of(level, depth[row]) @ np.linalg.pinv(depth.T @ depth, rcond=_SAME, hermitian=True)
    entries = level - (less * of_predictor[some.indices]).sum(1)

    def as_matrix(data: np.ndarray) -> sparse.csr_matrix:
        return sparse.csr_matrix((data.astype(np.float32), some.indices, some.indptr), shape=some.shape)

    nothing = np.empty(0)
    parts = as_matrix(entries), as_matrix(level), depth, of_predictor, of_response
    found = Levels(*parts, own=nothing, moments={}, kurtosis=nothing, uneven=nothing)
    moments, own, square = _moments(found, depth)
    at = np.square(entries - (depth[row] * of_predictor[some.indices]).sum(1))
    variance = moments["predictor2"] / max(some.shape[0], 1)
    fourth = moments["predictor4"] / max(some.shape[0], 1)
    slopes = np.einsum("gab,gb->ga", sums.inverse, square + sums.of(at, less)) / np.maximum(variance, _TINY)[:, None]
    kurtosis = fourth / np.maximum(variance**2, _TINY)
    noise = (depth.shape[1] - 1) / max(some.shape[0], 1) * np.maximum(kurtosis - 1, _CONSTANT)
    mean = np.bincount(some.indices, weights=level, minlength=some.shape[1]) / max(some.shape[0], 1)
    return Levels(*parts, own=own, moments=moments, kurtosis=kurtosis, uneven=_believed(slopes, noise, mean, depth))


def _logs(n_present: np.ndarray, totals: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(np.stack([n_present, totals], axis=1), _HALF))


def _covariates(n_present: np.ndarray, totals: np.ndarray, centre: np.ndarray) -> np.ndarray:
    genes, total = (_logs(n_present, totals) - centre).T
    return np.stack([np.ones_like(genes), genes, genes**2, total, total**2], axis=1)


class _Sums:
    """Sums over cells for every gene, with covariates that leave the gene out."""

    def __init__(self, indices: np.ndarray, n_genes: int, depth: np.ndarray, row: np.ndarray, less: np.ndarray):
        self._indices, self._n_genes = indices, n_genes
        self._with, self._without = depth[row], depth[row] + less
        n = depth.shape[1]
        products = np.empty((n_genes, n, n))
        for i in range(n):
            more = self._without * self._without[:, [i]] - self._with * self._with[:, [i]]
            products[:, i] = depth.T @ depth[:, i] + self.of(1.0, more)
        self.inverse = np.linalg.pinv(products, rcond=_SAME, hermitian=True)

    def of(self, values: np.ndarray | float, covariates: np.ndarray) -> np.ndarray:
        """Sum over the entries of each gene of a value times covariates (genes, covariates)."""
        weighted = (values * covariates.T) if np.ndim(values) == 0 else covariates.T * values
        return np.stack([np.bincount(self._indices, weights=w, minlength=self._n_genes) for w in weighted], axis=1)

    def without(self, values: np.ndarray) -> np.ndarray:
        """Sum of values that are 0 but at the entries, with the covariates that leave the gene out."""
        return self.of(values, self._without)


def _moments(found: Levels, depth: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Return sums of powers, and of predictors and their squares times the depth of all (genes, covariates)."""
    n_genes = found.shape[1]
    moments = {f"{side}{power}": np.zeros(n_genes) for side in ("predictor", "response") for power in (2, 3, 4)}
    own, square = np.zeros((n_genes, depth.shape[1])), np.zeros((n_genes, depth.shape[1]))
    for rows in found.blocks():
        for side, values in (("predictor", found.predictors(rows)), ("response", found.responses(rows))):
            power = values.astype(np.float64)
            if side == "predictor":
                own += power.T @ depth[rows]
                square += np.square(power).T @ depth[rows]
            for exponent in (2, 3, 4):
                power = power * values
                moments[f"{side}{exponent}"] += power.sum(0)
    return moments, own, square


def _believed(slopes: np.ndarray, noise: np.ndarray, mean: np.ndarray, depth: np.ndarray) -> np.ndarray:
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
