"""One cell without the first gene of a pair, without the second, and without both."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from ._factors import BOUND, FactorMap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scipy import sparse

    from ._cells import Cells
    from ._map import AnyMap


def only(presence: sparse.csr_matrix, rows: Sequence[np.ndarray]) -> tuple[sparse.csr_matrix, list[np.ndarray]]:
    """Return the cells that any pair is knocked out in, and where the cells of each pair are among them."""
    used = np.zeros(presence.shape[0], dtype=bool)
    for some in rows:
        used[some] = True
    number = np.cumsum(used) - 1
    return presence[np.flatnonzero(used)], [number[some] for some in rows]


def weights_of(affine: AnyMap, pair: np.ndarray) -> np.ndarray:
    """Return how much the effect of each of two genes counts when both are lost."""
    return affine.weights(pair[None])[0] if isinstance(affine, FactorMap) else np.ones(2)


@njit(nogil=True, cache=True, error_model="numpy")
def factors_of(observed: bool, pair: np.ndarray, columns: np.ndarray, both: np.ndarray) -> np.ndarray:
    """Return what each output is multiplied by without both genes, and without the first and the second one.

    0 for a gene that is gone; of other genes with a map of factors its factor, with other maps 1. `both` has the
    weights of the two genes when both are lost.
    """
    factors = np.ones((3, columns.shape[1]))
    if observed:
        for gene in range(columns.shape[1]):
            together = both[0] * columns[0, gene] + both[1] * columns[1, gene]
            factors[0, gene] = math.exp(-max(-BOUND, min(BOUND, together)))
            factors[1, gene], factors[2, gene] = math.exp(-columns[0, gene]), math.exp(-columns[1, gene])
    factors[0, pair[0]] = factors[0, pair[1]] = factors[1, pair[0]] = factors[2, pair[1]] = 0.0
    return factors


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "arcp", "nsz"})
def take_out(cells: Cells, start: int, n: int, columns: np.ndarray, factors: np.ndarray, outputs: np.ndarray) -> None:
    """Write the outputs of one cell, on any scale, without both genes and without the first and the second one.

    `columns` is 2 x genes, of the two genes, `factors` as :func:`factors_of` has them.
    """
    single, double = max(n - 1.0, 1e-7), max(n - 2.0, 1e-7)
    for j in range(n):
        gene = cells.indices[start + j]
        one, other, third = factors[0, gene], factors[1, gene], factors[2, gene]
        if cells.observed:
            share = cells.profile[start + j]
            outputs[0, j], outputs[1, j], outputs[2, j] = share * one, share * other, share * third
        else:
            raw, offset = cells.sums[start + j], cells.intercept[gene]
            first, second = columns[0, gene], columns[1, gene]
            outputs[0, j] = abs((raw - first - second) / double + offset) * one
            outputs[1, j] = abs((raw - first) / single + offset) * other
            outputs[2, j] = abs((raw - second) / single + offset) * third


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "arcp", "nsz"})
def others_apart(outputs: np.ndarray, profile: np.ndarray, indices: np.ndarray, out: np.ndarray) -> float:
    """Return the Bray-Curtis dissimilarity of outputs on any scale and a profile, both without the genes in `out`."""
    total = before = distance = 0.0
    for j in range(len(profile)):
        there = (indices[j] != out[0]) & (indices[j] != out[1])
        total += outputs[j] * there
        before += profile[j] * there
    scale, scale_before = 1 / total if total > 0 else 0.0, 1 / before if before > 0 else 0.0
    for j in range(len(profile)):
        there = (indices[j] != out[0]) & (indices[j] != out[1])
        distance += math.fabs(outputs[j] * scale - profile[j] * scale_before) * there
    both = (total > 0) + (before > 0)
    return distance / both if both > 0 else 0.0
