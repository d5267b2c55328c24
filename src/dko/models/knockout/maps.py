"""Maps, which a fitted model is in its simplest form: a number for every pair of genes; and cells before a knockout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numba import njit
from scipy import sparse

from ..base import like, pieces

if TYPE_CHECKING:
    from collections.abc import Mapping

# Largest change of a log share: no exponential overflows in single precision.
BOUND = 30.0
# Added to the diagonal of a correlation matrix before it is inverted, so that genes that hardly differ share
# their effect instead of having large ones of opposite sign.
_RIDGE = 0.1


@dataclass(frozen=True)
class AffineMap:
    """Predicted outputs |A z / sum(z) + b| for the present genes z (arXiv 2510.03359); float32.

    Of many genes, A = outgoing @ influence is never formed as a whole.
    """

    influence: np.ndarray  # A, genes x genes: what the presence of gene g (column) adds to every gene; or rank x genes
    intercept: np.ndarray  # b
    outgoing: np.ndarray | None = None  # genes x rank: what each factor adds to every gene

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return len(self.intercept)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """What :func:`map_of` makes it of again."""
        if self.outgoing is None:
            return {"influence": self.influence, "intercept": self.intercept}
        return {"outgoing": self.outgoing, "incoming": self.influence, "intercept": self.intercept}

    def columns(self, genes: np.ndarray) -> np.ndarray:
        """Return what each of `genes` adds to every gene: float32, genes x all genes."""
        columns = np.take(self.influence, genes, axis=1).T
        return columns if self.outgoing is None else columns @ self.outgoing.T

    def product(self, rows: np.ndarray) -> np.ndarray:
        """Return A z for dense rows z."""
        found = rows @ self.influence.T
        return found if self.outgoing is None else found @ self.outgoing.T

    def table(self, genes: np.ndarray) -> np.ndarray:
        """Return what a scan reads of the loss of each of `genes`: float32, genes x all genes."""
        return self.columns(genes)

    def weights(self, sets: np.ndarray) -> np.ndarray:
        """Return how much each gene of a set counts when all are lost: 1, and 0 for the -1 that pads."""
        return (sets >= 0).astype(float)

    def sums(self, presence: sparse.csr_matrix) -> np.ndarray:
        """Return s = A z at the present genes, float32, in the order of ``presence.data``."""
        found = np.empty(presence.nnz, dtype=np.float32)
        for rows in pieces(presence.shape[0], 8 * self.n_genes):
            some = presence[rows]
            row = np.repeat(np.arange(some.shape[0]), np.diff(some.indptr))
            found[presence.indptr[rows.start] : presence.indptr[rows.stop]] = self.product(some.toarray())[
                row, some.indices
            ]
        return found

    def subset(self, genes: np.ndarray) -> AffineMap:
        """Return the map among some of the genes, in the given order."""
        if self.outgoing is None:
            return AffineMap(np.ascontiguousarray(self.influence[np.ix_(genes, genes)]), self.intercept[genes])
        incoming = np.ascontiguousarray(self.influence[:, genes])
        return AffineMap(incoming, self.intercept[genes], self.outgoing[genes])


@dataclass(frozen=True)
class FactorMap:
    """A knockout multiplies the observed share of gene j by exp(-A_jg), whatever the cell; profiles sum to 1 again."""

    # A, genes x genes, float32 or float16: by how much the log share of gene j falls when gene g (column) is lost
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
        return np.clip(np.take(self.influence, genes, axis=1).T.astype(np.float32), -BOUND, BOUND)

    def table(self, genes: np.ndarray) -> np.ndarray:
        """Return exp(-A_jg) - 1, float32, `genes` x all genes; 0 for a gene itself."""
        found = self.columns(genes)
        np.negative(found, out=found)
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


AnyMap: TypeAlias = AffineMap | FactorMap
"""What knockouts go through: a prediction with and without the genes, or factors of what was observed."""


def map_of(arrays: Mapping[str, np.ndarray]) -> AffineMap:
    """Return the map that is made of some arrays, of any byte order."""
    native = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}
    influence = native["incoming" if "incoming" in native else "influence"]
    return AffineMap(influence, native["intercept"], native.get("outgoing"))


class Cells(NamedTuple):
    """Cells before a knockout; float32, one number per present gene unless said otherwise."""

    indptr: np.ndarray  # the present genes, as in a CSR matrix; int64
    indices: np.ndarray
    profile: np.ndarray  # predicted, all 0 in a cell whose outputs are; or observed, with a map of factors
    sums: np.ndarray  # s = A z; empty with a map of factors
    intercept: np.ndarray  # b of all genes; empty with a map of factors
    observed: bool  # whether the map is one of factors


def all_cells(affine: AnyMap, presence: sparse.csr_matrix) -> Cells:
    """Compute what is known of the cells of a CSR matrix: its entries are present; with factors, they are profiles."""
    indptr, indices = presence.indptr.astype(np.int64), presence.indices
    if isinstance(affine, FactorMap):
        none = np.empty(0, dtype=np.float32)
        return Cells(indptr, indices, presence.data.astype(np.float32, copy=False), none, none, True)
    sums = affine.sums(like(presence, np.ones(presence.nnz, dtype=np.float32)))
    return Cells(indptr, indices, _predicted(indptr, indices, sums, affine.intercept), sums, affine.intercept, False)


def predict(affine: AnyMap, values: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return the profiles before any knockout: predicted from the entries, or, with a map of factors, as they are."""
    return like(values, all_cells(affine, values).profile)


@njit(nogil=True, cache=True, error_model="numpy")
def _predicted(indptr: np.ndarray, indices: np.ndarray, sums: np.ndarray, intercept: np.ndarray) -> np.ndarray:
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


def find(presence: sparse.csr_matrix, sets: np.ndarray, *, whole: bool = False) -> tuple[np.ndarray, ...]:
    """Return which knockouts touch which cells; with `whole`, only those all of whose genes the cell has.

    `sets`: knockouts x genes, -1 pads. Returned: row of the cell, ascending; number of the knockout; its genes as
    positions among the present genes of the cell (found knockouts x genes, -1 where the cell lacks the gene).
    """
    there = sets >= 0
    of_sets = (np.ones(there.sum(), dtype=np.float32), (sets[there], np.nonzero(there)[0]))
    ones, shape = np.ones(presence.nnz, dtype=np.float32), (presence.shape[1], len(sets))
    met = sparse.csr_matrix(like(presence, ones) @ sparse.csr_matrix(of_sets, shape=shape))
    met.sort_indices()
    row, number = np.repeat(np.arange(presence.shape[0]), np.diff(met.indptr)), met.indices
    if whole:
        kept = met.data == there.sum(axis=1)[number]
        row, number = row[kept], number[kept]
    n_genes, genes = presence.shape[1], sets[number]
    places = np.repeat(np.arange(presence.shape[0]), np.diff(presence.indptr)) * n_genes + presence.indices
    wanted = row[:, None] * n_genes + genes
    entry = np.minimum(np.searchsorted(places, wanted), presence.nnz - 1)
    known = (genes >= 0) & (places[entry] == wanted)
    return row, number, np.where(known, entry - presence.indptr[row][:, None], -1)
