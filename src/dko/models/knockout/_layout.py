"""Cells laid out for the loops over lanes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from ._vector import LANES, UNROLLED


@dataclass(frozen=True)
class Layout:
    """The present genes of a few cells, each cell's padded to whole steps of a loop, and the panels that they need.

    Attributes
    ----------
    edges
        Where the genes of each kind of each cell begin among the padded ones, cells * kinds + 1.
    places
        Where each present gene stands among the padded ones.
    genes
        Row in a panel of each padded gene, uint32; padding names the row of zeros at the end.
    panels, cells
        Each panel that a cell needs, and the cell, int32.
    lanes
        Lane of each present gene: sixteen to an element of `panels`; -1 for a gene without one.
    """

    edges: np.ndarray
    places: np.ndarray
    genes: np.ndarray
    panels: np.ndarray
    cells: np.ndarray
    lanes: np.ndarray


def lay_out(
    indptr: np.ndarray,
    indices: np.ndarray,
    rank: np.ndarray,
    n_lanes: int,
    kinds: np.ndarray | None = None,
    n_kinds: int = 1,
) -> Layout:
    """Lay out cells, the rows of a CSR matrix, for panels of the first `n_lanes` genes by `rank`.

    The genes of a cell stand by kind, a number from 0 to `n_kinds` for each entry.
    """
    kinds = np.zeros(len(indices), dtype=np.int8) if kinds is None else kinds
    edges, places = _places(indptr, kinds, n_kinds)
    genes = np.full(edges[-1], len(rank), dtype=np.uint32)
    genes[places] = rank[indices]
    return Layout(edges, places, genes, *_lanes(indptr, indices, rank, n_lanes))


@njit(nogil=True, cache=True)
def _places(indptr: np.ndarray, kinds: np.ndarray, n_kinds: int) -> tuple[np.ndarray, np.ndarray]:
    edges = np.zeros((len(indptr) - 1) * n_kinds + 1, dtype=np.int64)
    places = np.empty(len(kinds), dtype=np.int32)
    for cell in range(len(indptr) - 1):
        n_of = np.zeros(n_kinds, dtype=np.int64)
        for entry in range(indptr[cell], indptr[cell + 1]):
            places[entry] = n_of[kinds[entry]]
            n_of[kinds[entry]] += 1
        for kind in range(n_kinds):
            edge = cell * n_kinds + kind
            edges[edge + 1] = edges[edge] - (-n_of[kind] // UNROLLED) * UNROLLED
        for entry in range(indptr[cell], indptr[cell + 1]):
            places[entry] += edges[cell * n_kinds + kinds[entry]]
    return edges, places


@njit(nogil=True, cache=True)
def _lanes(
    indptr: np.ndarray, indices: np.ndarray, rank: np.ndarray, n_lanes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    panels, cells = np.empty(len(indices), dtype=np.int32), np.empty(len(indices), dtype=np.int32)
    lanes = np.full(len(indices), -1, dtype=np.int32)
    # The last cell that needed a panel, and where that is noted.
    needed_by, noted, n_noted = np.full(len(rank), -1, dtype=np.int32), np.empty(len(rank), dtype=np.int32), 0
    for cell in range(len(indptr) - 1):
        for entry in range(indptr[cell], indptr[cell + 1]):
            row = rank[indices[entry]]
            if row >= n_lanes:
                continue
            panel = row // LANES
            if needed_by[panel] != cell:
                needed_by[panel], noted[panel] = cell, n_noted
                panels[n_noted], cells[n_noted] = panel, cell
                n_noted += 1
            lanes[entry] = LANES * noted[panel] + row % LANES
    return panels[:n_noted], cells[:n_noted], lanes
