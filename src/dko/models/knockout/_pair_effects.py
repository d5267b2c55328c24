"""What pairs of genes, and each of the two, do to every other gene, summed over cells."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from ._cells import all_cells
from ._pair_outputs import factors_of, only, take_out, weights_of
from ._parallel import in_parallel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scipy import sparse

    from ._cells import Cells
    from ._map import AnyMap


def pair_effects(
    affine: AnyMap, presence: sparse.csr_matrix, pairs: np.ndarray, rows: Sequence[np.ndarray]
) -> np.ndarray:
    """Return the sums over cells of the change of log1p(1e4 * profile) by pairs, and by each of their genes alone.

    Both genes are taken out of all four profiles, and each is made to sum to 1 again.

    Parameters
    ----------
    affine, presence
        As in :func:`dko.models.knockout.scan`.
    pairs
        Genes of each pair, pairs x 2.
    rows
        Of each pair, the cells to knock it out in; they have both genes.

    Returns
    -------
    float64, pairs x 3 x genes: of both, of the first and of the second gene; 0 at the two genes and, in each cell, at
    genes that it lacks.
    """
    presence, rows = only(presence, rows)
    totals = np.zeros((len(pairs), 3, affine.n_genes))
    if not presence.shape[0]:
        return totals
    cells = all_cells(affine, presence)

    def work(number: int) -> None:
        if not len(rows[number]):
            return
        columns, both = affine.columns(pairs[number]).astype(float), weights_of(affine, pairs[number])
        add_pair_effects(pairs[number], columns, both, cells, rows[number], totals[number])

    in_parallel(work, range(len(pairs)))
    return totals


@njit(nogil=True, cache=True, error_model="numpy")
def add_pair_effects(
    pair: np.ndarray,
    columns: np.ndarray,
    both: np.ndarray,
    cells: Cells,
    rows: np.ndarray,
    totals: np.ndarray,
) -> None:
    """Add the changes by one pair, and by its genes, in some cells."""
    indptr, indices, profile = cells.indptr, cells.indices, cells.profile
    longest = 0
    for cell in rows:
        longest = max(longest, indptr[cell + 1] - indptr[cell])
    outputs, scales, factors = np.empty((3, longest)), np.empty(3), factors_of(cells.observed, pair, columns, both)
    factors[:, pair[0]] = factors[:, pair[1]] = 0.0
    for cell in rows:
        start, n = indptr[cell], indptr[cell + 1] - indptr[cell]
        take_out(cells, start, n, columns, factors, outputs)
        before = 0.0
        for j in range(n):
            if indices[start + j] != pair[0] and indices[start + j] != pair[1]:
                before += profile[start + j]
        scale = 1e4 / before if before > 0 else 0.0
        for knockout in range(3):
            after = outputs[knockout, :n].sum()
            scales[knockout] = 1e4 / after if after > 0 else 0.0
        for j in range(n):
            gene = indices[start + j]
            if gene == pair[0] or gene == pair[1]:
                continue
            rest = 1 + scale * profile[start + j]
            for knockout in range(3):
                totals[knockout, gene] += math.log((1 + scales[knockout] * outputs[knockout, j]) / rest)
