"""What two genes would do together if what they act on had nothing to do with each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from ._cells import all_cells
from ._factors import FactorMap
from ._map import LowRankMap
from ._pair_outputs import factors_of, only, others_apart, take_out, weights_of
from ._parallel import in_parallel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scipy import sparse

    from ._cells import Cells
    from ._map import AnyMap


def pair_null(
    affine: AnyMap,
    presence: sparse.csr_matrix,
    pairs: np.ndarray,
    rows: Sequence[np.ndarray],
    moves: np.ndarray,
) -> np.ndarray:
    """Return downstream impacts of pairs and of their genes, as they are and with what one acts on moved elsewhere.

    The cells stay as they are; what a knockout takes out of the raw outputs, the column of the map, is permuted over
    the genes. What a gene does to itself stays with it. Where outputs are divided by the number of present genes, a
    knockout changes nothing that the others make up for: what genes have in common on average stays where it is.

    Parameters
    ----------
    affine, presence
        As in :func:`dko.models.knockout.scan`.
    pairs
        Genes of each pair, pairs x 2.
    rows
        Of each pair, the cells to knock it out in; they have both genes.
    moves
        Permutations x genes: from which gene each gene gets its number. The first permutation moves the column of the
        second gene of the pair, the next that of the first, and so on.

    Returns
    -------
    float64, pairs x (1 + permutations) x 3: sums over the cells of the downstream impact of both, of the first and of
    the second gene; first with nothing moved.
    """
    common = _mean_level(affine, presence)
    presence, rows = only(presence, rows)
    totals = np.zeros((len(pairs), 1 + len(moves), 3))
    if not presence.shape[0]:
        return totals
    cells = all_cells(affine, presence)
    moves = np.vstack([np.arange(affine.n_genes), moves])

    def work(number: int) -> None:
        if not len(rows[number]):
            return
        columns, both = affine.columns(pairs[number]).astype(float), weights_of(affine, pairs[number])
        add_null(pairs[number], columns, both, common, cells, rows[number], moves, totals[number])

    in_parallel(work, range(len(pairs)))
    return totals


def _mean_level(affine: AnyMap, presence: sparse.csr_matrix) -> np.ndarray:
    """Return what the present genes of a cell add to each gene on average, mean over cells; 0 of a map of factors."""
    if isinstance(affine, FactorMap):
        return np.zeros(affine.n_genes)
    sizes = np.diff(presence.indptr)
    often = presence.T @ (1.0 / np.maximum(sizes, 1)) / max(1, np.count_nonzero(sizes))
    if isinstance(affine, LowRankMap):
        return affine.outgoing @ (affine.incoming @ often)
    return affine.influence @ often


@njit(nogil=True, cache=True, error_model="numpy")
def moved(column: np.ndarray, common: np.ndarray, move: np.ndarray, own: int) -> np.ndarray:
    """Return a column whose difference to `common` is permuted, but for the number of the gene itself."""
    special = column - common
    found = special[move]
    for gene in range(len(move)):
        if move[gene] == own:
            found[gene] = special[move[own]]
    found[own] = special[own]
    return found + common


@njit(nogil=True, cache=True, error_model="numpy")
def add_null(
    pair: np.ndarray,
    columns: np.ndarray,
    both: np.ndarray,
    common: np.ndarray,
    cells: Cells,
    rows: np.ndarray,
    moves: np.ndarray,
    totals: np.ndarray,
) -> None:
    """Add the downstream impacts of one pair in some cells, for each permutation."""
    indptr, indices, profile = cells.indptr, cells.indices, cells.profile
    out = np.array([[pair[0], pair[1]], [pair[0], pair[0]], [pair[1], pair[1]]])
    longest = 0
    for cell in rows:
        longest = max(longest, indptr[cell + 1] - indptr[cell])
    outputs, taken = np.empty((3, longest)), columns.copy()
    for number in range(len(moves)):
        which = number % 2
        taken[which] = moved(columns[which], common, moves[number], pair[which])
        taken[1 - which] = columns[1 - which]
        factors = factors_of(cells.observed, pair, taken, both)
        for cell in rows:
            start, n = indptr[cell], indptr[cell + 1] - indptr[cell]
            take_out(cells, start, n, taken, factors, outputs)
            genes, before = indices[start : start + n], profile[start : start + n]
            for knockout in range(3):
                totals[number, knockout] += others_apart(outputs[knockout, :n], before, genes, out[knockout])
