"""Where the genes of knockouts are among the present genes of cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..._settings import settings

if TYPE_CHECKING:
    from scipy import sparse


def find(presence: sparse.csr_matrix, sets: np.ndarray, *, whole: bool = False) -> tuple[np.ndarray, ...]:
    """Return which knockouts touch which cells.

    Parameters
    ----------
    presence
        Cells x genes, CSR, sorted indices.
    sets
        Genes of each knockout, knockouts x genes, padded with -1.
    whole
        Only knockouts all of whose genes the cell has; by default those with any.

    Returns
    -------
    Row of the cell, ascending; number of the knockout; and its genes as positions among the present genes of the cell
    (found knockouts x genes, -1 where the cell lacks the gene).
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
