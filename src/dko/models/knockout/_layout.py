"""Cells and map laid out for the loops over lanes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from ..._settings import settings
from ._parallel import in_parallel
from ._vector import LANES, UNROLLED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._map import Map


@dataclass(frozen=True)
class Layout:
    """The present genes of a few cells, each cell's padded to whole steps of a loop, and the panels that they need.

    Attributes
    ----------
    starts
        Where the genes of each cell begin among the padded ones, cells + 1.
    genes
        Row in a panel of each present gene, uint32; padding names the row of zeros at the end.
    panels, cells
        Each panel that a cell needs, and the cell, int32.
    lanes
        Lane of each present gene: sixteen to an element of `panels`; -1 for a gene without one.
    """

    starts: np.ndarray
    genes: np.ndarray
    panels: np.ndarray
    cells: np.ndarray
    lanes: np.ndarray


def lay_out(indptr: np.ndarray, indices: np.ndarray, rank: np.ndarray, n_lanes: int) -> Layout:
    """Lay out cells, the rows of a CSR matrix, for panels of the first `n_lanes` genes by `rank`."""
    sizes = np.diff(indptr)
    starts = np.concatenate([[0], np.cumsum(-(-sizes // UNROLLED) * UNROLLED)])
    return Layout(starts, *_lay_out(indptr, indices, rank, n_lanes, starts))


@njit(nogil=True, cache=True)
def _lay_out(
    indptr: np.ndarray, indices: np.ndarray, rank: np.ndarray, n_lanes: int, starts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    genes = np.full(starts[-1], len(rank), dtype=np.uint32)
    panels, cells = np.empty(len(indices), dtype=np.int32), np.empty(len(indices), dtype=np.int32)
    lanes = np.full(len(indices), -1)
    # The last cell that needed a panel, and where that is noted.
    needed_by, noted, n_noted = np.full(len(rank), -1), np.empty(len(rank), dtype=np.int64), 0
    for cell in range(len(indptr) - 1):
        for entry in range(indptr[cell], indptr[cell + 1]):
            row = rank[indices[entry]]
            genes[starts[cell] + entry - indptr[cell]] = row
            if row >= n_lanes:
                continue
            panel = row // LANES
            if needed_by[panel] != cell:
                needed_by[panel], noted[panel] = cell, n_noted
                panels[n_noted], cells[n_noted] = panel, cell
                n_noted += 1
            lanes[entry] = LANES * noted[panel] + row % LANES
    return genes, panels[:n_noted], cells[:n_noted], lanes


# Panels that one thread makes at a time.
_PIECE = 16


def aligned(shape: tuple[int, ...]) -> np.ndarray:
    """Return float32 zeros whose rows of sixteen are lines of the cache."""
    size = int(np.prod(shape))
    room = np.zeros(size + LANES, dtype=np.float32)
    start = (-room.ctypes.data % (4 * LANES)) // 4
    return room[start : start + size].reshape(shape)


class Panels:
    """The map cut into panels of sixteen genes, as many at a time as the memory budget has room for.

    Iteration yields (number of the first panel, panels x (genes + 1) x 16, float32); the last row of a panel is 0.

    Parameters
    ----------
    affine
        The map.
    part
        ``"rows"``: the lane of a gene holds what every gene adds to it; ``"columns"``: what it adds to every gene.
    order
        The genes by rank, which is the order of rows and of lanes.
    n_lanes
        Genes that need a lane: the first of `order`.
    """

    def __init__(self, affine: Map, part: str, order: np.ndarray, n_lanes: int):
        self._affine, self._part, self._order, self._n_lanes = affine, part, order, n_lanes
        self._n_panels = -(-n_lanes // LANES)
        # Twice: as read, and as panels.
        self._step = max(1, settings.memory_budget // (8 * LANES * (len(order) + 1)))
        self._all: np.ndarray | None = None

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        if self._all is not None:
            yield 0, self._all
            return
        for first in range(0, self._n_panels, self._step):
            panels = self._make(first)
            if len(panels) == self._n_panels:
                self._all = panels
            yield first, panels

    def _make(self, first: int) -> np.ndarray:
        lanes = self._order[first * LANES : min((first + self._step) * LANES, self._n_lanes)]
        panels = aligned((-(-len(lanes) // LANES), len(self._order) + 1, LANES))
        read = getattr(self._affine, self._part)

        def work(some: slice) -> None:
            _fill(panels[some], read(lanes[some.start * LANES : some.stop * LANES]), self._order)

        in_parallel(work, [slice(start, start + _PIECE) for start in range(0, len(panels), _PIECE)])
        return panels


@njit(nogil=True, cache=True)
def _fill(panels: np.ndarray, values: np.ndarray, order: np.ndarray) -> None:
    for panel in range(len(panels)):
        first = panel * LANES
        width = min(LANES, len(values) - first)
        for row in range(len(order)):
            for lane in range(width):
                panels[panel, row, lane] = values[first + lane, order[row]]
