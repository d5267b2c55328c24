"""One cell without the first gene of a pair, without the second, and without both."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from ._links import apply_link, level_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scipy import sparse


def only(
    presence: sparse.csr_matrix, rows: Sequence[np.ndarray], residual: np.ndarray | None = None
) -> tuple[sparse.csr_matrix, list[np.ndarray], np.ndarray | None]:
    """Return the cells that any pair is knocked out in, where the cells of each pair are among them, and residuals."""
    used = np.zeros(presence.shape[0], dtype=bool)
    for some in rows:
        used[some] = True
    number = np.cumsum(used) - 1
    own = None if residual is None else residual[np.repeat(used, np.diff(presence.indptr))]
    return presence[np.flatnonzero(used)], [number[some] for some in rows], own


@njit(nogil=True, cache=True, error_model="numpy")
def factors_of(link: int, divisor: float, column: np.ndarray) -> np.ndarray:
    """Return what each output is multiplied by when a column is taken out; ones where that differs between cells.

    With a divisor of the map's own, taking a column out of an exponential is a product that is the same in all cells.
    """
    if link == 2 and divisor > 0:
        return np.exp(-column / divisor)
    return np.ones(len(column))


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "arcp", "nsz"})
def take_out(
    link: int,
    divisor: float,
    start: int,
    n: int,
    indices: np.ndarray,
    sums: np.ndarray,
    intercept: np.ndarray,
    weights: np.ndarray,
    profile: np.ndarray,
    columns: np.ndarray,
    factors: np.ndarray,
    outputs: np.ndarray,
) -> None:
    """Write the outputs of one cell, on any scale, without both genes and without the first and the second one.

    `columns` and `factors` are 2 x genes, of the two genes; outputs are multiplied by the factors in any case, which
    are 0 where a gene is gone.
    """
    one, other = factors[0], factors[1]
    if link == 2 and divisor > 0:
        for j in range(n):
            gene, share = indices[start + j], profile[start + j]
            outputs[0, j] = share * one[gene] * other[gene]
            outputs[1, j] = share * one[gene]
            outputs[2, j] = share * other[gene]
        return
    single = divisor if divisor > 0 else max(n - 1.0, 1e-7)
    double = divisor if divisor > 0 else max(n - 2.0, 1e-7)
    level = level_of(link, start, start + n, indices, sums, 1 / single, intercept)
    for j in range(n):
        gene, raw = indices[start + j], sums[start + j]
        offset, first, second = intercept[gene] - level, columns[0, gene], columns[1, gene]
        left, right = weights[start + j] * one[gene], weights[start + j] * other[gene]
        outputs[0, j] = apply_link(link, (raw - first - second) / double + offset) * left * other[gene]
        outputs[1, j] = apply_link(link, (raw - first) / single + offset) * left
        outputs[2, j] = apply_link(link, (raw - second) / single + offset) * right


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "arcp", "nsz"})
def apart(outputs: np.ndarray, profile: np.ndarray) -> float:
    """Return the Bray-Curtis dissimilarity of outputs on any scale and a profile."""
    total = before = distance = 0.0
    for j in range(len(profile)):
        total += outputs[j]
        before += profile[j]
    scale = 1 / total if total > 0 else 0.0
    for j in range(len(profile)):
        distance += math.fabs(outputs[j] * scale - profile[j])
    both = before + (total > 0)
    return distance / both if both > 0 else 0.0
