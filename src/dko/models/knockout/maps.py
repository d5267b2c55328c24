"""Maps, which a fitted model is in its simplest form: a number for every pair of genes; and cells before a knockout."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

import numpy as np
from numba import njit
from scipy import sparse

from ..._settings import settings

if TYPE_CHECKING:
    from collections.abc import Sequence

# Largest change of a log share: no exponential overflows in single precision.
BOUND = 30.0
# Added to the diagonal of a correlation matrix before it is inverted, so that genes that hardly differ share
# their effect instead of having large ones of opposite sign.
_RIDGE = 0.1


class _Map:
    """What all maps have."""

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that the map is made of."""
        found = {field.name: getattr(self, field.name) for field in fields(cast("Any", self))}
        return {name: array for name, array in found.items() if array is not None}


class _Predicting(_Map):
    """A map that predicts profiles from the present genes, affine before an absolute value (arXiv 2510.03359)."""

    intercept: np.ndarray

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return len(self.intercept)

    def columns(self, genes: np.ndarray) -> np.ndarray:
        """Return what each of `genes` adds to every gene: float32, genes x all genes."""
        raise NotImplementedError

    def product(self, rows: np.ndarray) -> np.ndarray:
        """Return A z for dense rows z."""
        raise NotImplementedError

    def table(self, genes: np.ndarray, dose: float) -> np.ndarray:
        """Return what a scan reads of the loss of each of `genes`: float32, genes x all genes."""
        return self.columns(genes)

    def weights(self, sets: np.ndarray) -> np.ndarray:
        """Return how much each gene of a set counts when all are lost: 1, and 0 for the -1 that pads."""
        return (sets >= 0).astype(float)

    def sums(self, presence: sparse.csr_matrix) -> np.ndarray:
        """Return s = A z at the present genes, float32, in the order of ``presence.data``."""
        found = np.empty(presence.nnz, dtype=np.float32)
        step = max(1, settings.memory_budget // (8 * self.n_genes))
        for first in range(0, presence.shape[0], step):
            some = presence[first : first + step]
            row = np.repeat(np.arange(some.shape[0]), np.diff(some.indptr))
            entries = slice(presence.indptr[first], presence.indptr[first] + some.nnz)
            found[entries] = self.product(some.toarray())[row, some.indices]
        return found

    def mean_level(self, presence: sparse.csr_matrix) -> np.ndarray:
        """Return what the present genes of a cell add to each gene on average, mean over cells."""
        sizes = np.diff(presence.indptr)
        often = presence.T @ (1.0 / np.maximum(sizes, 1)) / max(1, np.count_nonzero(sizes))
        return self.product(often[None])[0]


@dataclass(frozen=True)
class AffineMap(_Predicting):
    """Outputs |A z / sum(z) + b| for the present genes z; float32."""

    influence: np.ndarray  # A, genes x genes: column g is what the presence of gene g adds to every gene j
    intercept: np.ndarray  # b

    def columns(self, genes: np.ndarray) -> np.ndarray:
        """Return what each of `genes` adds to every gene: float32, genes x all genes."""
        return np.take(self.influence, genes, axis=1).T

    def product(self, rows: np.ndarray) -> np.ndarray:
        """Return A z for dense rows z."""
        return rows @ self.influence.T

    def subset(self, genes: Sequence[int]) -> AffineMap:
        """Return the map among some of the genes, in the given order."""
        among = np.ascontiguousarray(self.influence[np.ix_(genes, genes)])
        return AffineMap(among, self.intercept[list(genes)])


@dataclass(frozen=True)
class LowRankMap(_Predicting):
    """The same with A = outgoing @ incoming, which is never formed as a whole: for many genes."""

    outgoing: np.ndarray  # genes x rank: what each factor adds to every gene
    incoming: np.ndarray  # rank x genes: what the presence of each gene adds to every factor
    intercept: np.ndarray  # b

    @property
    def rank(self) -> int:
        """Number of factors."""
        return self.incoming.shape[0]

    def columns(self, genes: np.ndarray) -> np.ndarray:
        """Return what each of `genes` adds to every gene: float32, genes x all genes."""
        return self.incoming[:, genes].T @ self.outgoing.T

    def product(self, rows: np.ndarray) -> np.ndarray:
        """Return A z for dense rows z."""
        return rows @ self.incoming.T @ self.outgoing.T

    def subset(self, genes: Sequence[int]) -> LowRankMap:
        """Return the map among some of the genes, in the given order."""
        chosen = list(genes)
        incoming = np.ascontiguousarray(self.incoming[:, chosen])
        return LowRankMap(self.outgoing[chosen], incoming, self.intercept[chosen])


@dataclass(frozen=True)
class FactorMap(_Map):
    """A knockout multiplies the observed share of gene j by exp(-A_jg), whatever the cell; profiles sum to 1 again."""

    # A, float32, genes x genes: by how much the log of the share of gene j falls when gene g is lost (column g)
    influence: np.ndarray
    # R, genes x genes, of any precision: correlations between genes as predictors of others; by default none
    correlation: np.ndarray | None = None
    step: np.ndarray | None = None  # s, genes: how many standard deviations of gene g its loss is; by default 1

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return len(self.influence)

    def columns(self, genes: np.ndarray) -> np.ndarray:
        """Return by how much the logs of all shares fall when each of `genes` is lost: float32, genes x all genes."""
        return np.clip(np.take(self.influence, genes, axis=1).T, -BOUND, BOUND)

    def table(self, genes: np.ndarray, dose: float) -> np.ndarray:
        """Return exp(-dose A_jg) - 1, float32, `genes` x all genes; 0 for a gene itself."""
        found = self.columns(genes)
        found *= np.float32(-dose)
        np.expm1(found, out=found)
        found[np.arange(len(genes)), genes] = 0
        return found

    def weights(self, sets: np.ndarray) -> np.ndarray:
        """Return how much the effect of each gene of a set counts, inverse(R_SS) s / s; 0 for a -1 that pads."""
        there = sets >= 0
        if self.correlation is None or sets.shape[1] < 2:
            return there.astype(float)
        together = self.correlation[sets[:, :, None], sets[:, None, :]].astype(float) / (1 + _RIDGE)
        together *= there[:, :, None] & there[:, None, :]
        places = np.arange(sets.shape[1])
        together[:, places, places] = 1
        step = np.ones(sets.shape) if self.step is None else np.where(there, self.step[sets], 1).astype(float)
        return np.linalg.solve(together, (step * there)[..., None])[..., 0] / step

    def mean_level(self, presence: sparse.csr_matrix) -> np.ndarray:
        """Return zeros: the factors do not depend on which genes are present."""
        return np.zeros(self.n_genes)

    def subset(self, genes: Sequence[int]) -> FactorMap:
        """Return the map among some of the genes, in the given order."""
        among, chosen = np.ix_(genes, genes), list(genes)
        return FactorMap(
            np.ascontiguousarray(self.influence[among]),
            None if self.correlation is None else self.correlation[among],
            None if self.step is None else self.step[chosen],
        )


Map: TypeAlias = AffineMap | LowRankMap
"""What predicts profiles from assemblages."""
AnyMap: TypeAlias = Map | FactorMap
"""What knockouts go through: a prediction with and without the genes, or factors of what was observed."""


def map_of(arrays: dict[str, np.ndarray]) -> Map:
    """Return the map that is made of some arrays, of any byte order."""
    native = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}
    if "outgoing" in native:
        return LowRankMap(native["outgoing"], native["incoming"], native["intercept"])
    return AffineMap(native["influence"], native["intercept"])


class Cells(NamedTuple):
    """Cells before a knockout; float32, one number per present gene unless said otherwise."""

    indptr: np.ndarray  # the present genes, as in a CSR matrix; int64
    indices: np.ndarray
    profile: np.ndarray  # predicted, all 0 in a cell whose outputs are; or observed, with a map of factors
    sums: np.ndarray  # s = A z; empty with a map of factors
    intercept: np.ndarray  # b of all genes; empty with a map of factors
    observed: bool  # whether the map is one of factors


def all_cells(affine: AnyMap, presence: sparse.csr_matrix) -> Cells:
    """Compute what is known of the cells of a CSR matrix: ones, or observed profiles for a map of factors."""
    indptr, indices = presence.indptr.astype(np.int64), presence.indices
    if isinstance(affine, FactorMap):
        none = np.empty(0, dtype=np.float32)
        return Cells(indptr, indices, presence.data.astype(np.float32, copy=False), none, none, True)
    sums = affine.sums(presence)
    return Cells(indptr, indices, _predicted(indptr, indices, sums, affine.intercept), sums, affine.intercept, False)


def predict(affine: AnyMap, presence: sparse.csr_matrix) -> np.ndarray:
    """Return the profiles before any knockout, predicted or, with a map of factors, observed, ordered as in `scan`."""
    return all_cells(affine, presence).profile


@njit(nogil=True, cache=True, error_model="numpy")
def _predicted(indptr: np.ndarray, indices: np.ndarray, sums: np.ndarray, intercept: np.ndarray) -> np.ndarray:
    """Return the profiles of cells that a map predicts from their weighted sums."""
    profile = np.empty(len(sums), dtype=np.float32)
    for cell in range(len(indptr) - 1):
        start, stop = indptr[cell], indptr[cell + 1]
        per_gene, total = np.float32(1) / np.float32(stop - start), 0.0
        for entry in range(start, stop):
            profile[entry] = abs(sums[entry] * per_gene + intercept[indices[entry]])
            total += profile[entry]
        share = np.float32(1 / total) if total > 0 else np.float32(0)
        for entry in range(start, stop):
            profile[entry] *= share
    return profile


def presence_of(values: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return ones (float32) at the entries of a CSR matrix, with its own indices."""
    ones = np.ones(values.nnz, dtype=np.float32)
    return sparse.csr_matrix((ones, values.indices, values.indptr), shape=values.shape)


def find(presence: sparse.csr_matrix, sets: np.ndarray, *, whole: bool = False) -> tuple[np.ndarray, ...]:
    """Return which knockouts touch which cells; with `whole`, only those all of whose genes the cell has.

    `sets`: knockouts x genes, -1 pads. Returned: row of the cell, ascending; number of the knockout; its genes as
    positions among the present genes of the cell (found knockouts x genes, -1 where the cell lacks the gene).
    """
    genes, index = np.unique(sets, return_inverse=True)
    index = index.reshape(sets.shape)
    number_of = np.full(presence.shape[1] + 1, -1)
    number_of[genes] = np.arange(len(genes))
    number_of[-1] = -1
    found = []
    step = max(1, settings.memory_budget // (16 * (sets.size + len(genes))))
    for first in range(0, presence.shape[0], step):
        part = presence[first : first + step]
        number = number_of[part.indices]
        entries = np.flatnonzero(number >= 0)
        row = np.searchsorted(part.indptr, entries, side="right") - 1
        position = np.full((part.shape[0], len(genes)), -1)
        position[row, number[entries]] = entries - part.indptr[row]
        places = position[:, index]
        there = ((places >= 0) | (sets < 0)).all(axis=2) if whole else (places >= 0).any(axis=2)
        cell, knockout = np.nonzero(there)
        found.append((cell + first, knockout, places[cell, knockout]))
    if not found:
        return np.empty(0, dtype=int), np.empty(0, dtype=int), np.empty((0, sets.shape[1]), dtype=int)
    return tuple(np.concatenate(arrays) for arrays in zip(*found, strict=True))
