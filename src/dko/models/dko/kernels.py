"""The compiled loops of the regressions: over all pairs of genes that a cell has, and over all pairs of genes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit


class Sides(NamedTuple):
    """Both sides of all regressions in some cells, at the entries of a CSR matrix of cells x genes: float32."""

    indptr: np.ndarray
    indices: np.ndarray  # uint32
    value: np.ndarray  # predictor, not centred; 0 where a gene is absent
    own: np.ndarray  # centred predictor x by how much other shares grow without the gene
    residual: np.ndarray  # weight x (response - that of an absent gene)
    gain: np.ndarray  # weight x by how much the response rises with the log of the share
    depth: np.ndarray  # weight of each cell; float64, as all below
    absent: np.ndarray  # residual of an absent gene, over the weight of the cell (genes,)
    centre: np.ndarray  # mean of each predictor over all cells (genes,)
    left: np.ndarray  # sum of the residuals of each gene in these cells (genes,)
    sums: np.ndarray  # of weight x predictor, in these cells (genes,)


class Predictors(NamedTuple):
    """Predictors in the same cells, one after the other: genes as they are, or permuted."""

    indptr: np.ndarray
    cell: np.ndarray
    value: np.ndarray
    own: np.ndarray
    centre: np.ndarray  # of each predictor


@njit(nogil=True, cache=True, error_model="numpy")
def add_products(
    rows: Predictors, cells: Sides, first: int, last: int, products: np.ndarray, together: np.ndarray
) -> None:
    """Add, of some predictors, the sums of centred predictor x residual and of weight x both centred predictors."""
    n_genes, whole = len(cells.absent), cells.depth.sum()
    # In double precision, as what is left of large sums counts.
    of_residual, of_predictor = np.empty(n_genes), np.empty(n_genes)
    for number in range(first, last):
        of_residual[:], of_predictor[:] = 0, 0
        total, centre = 0.0, rows.centre[number]
        for place in range(rows.indptr[number], rows.indptr[number + 1]):
            cell, value, own = rows.cell[place], rows.value[place], rows.own[place]
            weighted = value * cells.depth[cell]
            total += weighted
            # Indices are unsigned, so that numba need not ask whether they count from the end: twice as fast.
            for entry in range(np.uint64(cells.indptr[cell]), np.uint64(cells.indptr[cell + 1])):
                gene = cells.indices[entry]
                of_residual[gene] += value * cells.residual[entry] + own * cells.gain[entry]
                of_predictor[gene] += weighted * cells.value[entry]
        apart = total - centre * whole
        for gene in range(n_genes):
            products[number, gene] += of_residual[gene] + total * cells.absent[gene] - centre * cells.left[gene]
            together[number, gene] += of_predictor[gene] - centre * cells.sums[gene] - apart * cells.centre[gene]


@njit(nogil=True, cache=True, error_model="numpy")
def count(z: np.ndarray, largest: float, n_at: np.ndarray) -> None:
    """Count the estimates, zeros left out, that are nearest to each of evenly spaced points up to `largest`."""
    per_unit = (len(n_at) - 1) / (2 * largest)
    for row in z:
        for one in row:
            if one != 0:
                n_at[int(np.rint((min(max(one, -largest), largest) + largest) * per_unit))] += 1


@njit(nogil=True, cache=True, error_model="numpy")
def take_off(z: np.ndarray, largest: float, taken: np.ndarray, scale: np.ndarray) -> None:
    """Take a function of each estimate off it, read off between evenly spaced points, and scale columns, in place."""
    per_unit, last = (len(taken) - 1) / (2 * largest), len(taken) - 2
    for row in z:
        for j in range(len(row)):
            if row[j] != 0:
                at = (min(max(row[j], -largest), largest) + largest) * per_unit
                place = min(int(at), last)
                row[j] = scale[j] * (row[j] - taken[place] - (at - place) * (taken[place + 1] - taken[place]))


@njit(nogil=True, cache=True, error_model="numpy")
def impacts(changes: np.ndarray, genes: np.ndarray, profile: np.ndarray, found: np.ndarray) -> None:
    """Write half the sum of p_j |a_j - mean a| over all genes but one, per row of changes; p sums to 1 without it."""
    whole = profile.sum()
    for number in range(len(genes)):
        row, gene, mean, apart = changes[number], genes[number], 0.0, 0.0
        own, rest = profile[gene], max(whole - profile[gene], 1e-12)
        for j in range(len(row)):
            mean += profile[j] * row[j]
        mean = (mean - own * row[gene]) / rest
        for j in range(len(row)):
            apart += profile[j] * abs(row[j] - mean)
        found[number] = 0.5 * (apart - own * abs(row[gene] - mean)) / rest
