"""The map cut into panels, tables of sixteen columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from ..._settings import settings
from ._map import AffineMap
from ._parallel import in_parallel
from ._vector import LANES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._map import Map

# Panels, or rows of all of them, that one thread fills at a time.
_PANELS, _ROWS = 16, 128


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
    added
        What every lane of the row of a gene has beyond that, one number per gene. Default: nothing.
    """

    def __init__(self, affine: Map, part: str, order: np.ndarray, n_lanes: int, added: np.ndarray | None = None):
        self._affine, self._part, self._order, self._n_lanes = affine, part, order, n_lanes
        self._added = np.zeros(len(order), dtype=np.float32) if added is None else added[order]
        self._n_panels = -(-n_lanes // LANES)
        # Twice: as read, if it is made only then, and as panels.
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
        known = (self._order, self._added)
        if isinstance(self._affine, AffineMap):
            influence = self._affine.influence
            if self._part == "columns":
                in_parallel(
                    lambda rows: _fill_columns(panels, influence, lanes, *known, rows.start, rows.stop),
                    _pieces(len(self._order), _ROWS),
                )
            else:
                in_parallel(
                    lambda some: _fill_rows(panels[some], influence, _lanes_of(lanes, some), *known),
                    _pieces(len(panels), _PANELS),
                )
            return panels

        def multiply(some: slice) -> None:
            values = getattr(self._affine, self._part)(_lanes_of(lanes, some))
            _fill_rows(panels[some], values, np.arange(len(values)), *known)

        in_parallel(multiply, _pieces(len(panels), _PANELS))
        return panels


def _pieces(length: int, step: int) -> list[slice]:
    return [slice(first, min(first + step, length)) for first in range(0, length, step)]


def _lanes_of(genes: np.ndarray, panels: slice) -> np.ndarray:
    return genes[panels.start * LANES : panels.stop * LANES]


@njit(nogil=True, cache=True)
def _fill_rows(panels: np.ndarray, values: np.ndarray, lanes: np.ndarray, order: np.ndarray, added: np.ndarray) -> None:
    """Write row ``lanes[l]`` of `values` into lane l."""
    for panel in range(len(panels)):
        first = panel * LANES
        width = min(LANES, len(lanes) - first)
        for row in range(len(order)):
            for lane in range(width):
                panels[panel, row, lane] = values[lanes[first + lane], order[row]] + added[row]


@njit(nogil=True, cache=True)
def _fill_columns(
    panels: np.ndarray,
    values: np.ndarray,
    lanes: np.ndarray,
    order: np.ndarray,
    added: np.ndarray,
    start: int,
    stop: int,
) -> None:
    """Write column ``lanes[l]`` of `values` into lane l, of some rows; each row of the table is read once."""
    line = np.zeros(len(panels) * LANES, dtype=np.float32)
    for row in range(start, stop):
        source = values[order[row]]
        for lane in range(len(lanes)):
            line[lane] = source[lanes[lane]] + added[row]
        for panel in range(len(panels)):
            for lane in range(LANES):
                panels[panel, row, lane] = line[panel * LANES + lane]


@njit(nogil=True, cache=True)
def reach_of(panels: np.ndarray) -> np.ndarray:
    """Return the largest modulus in each row of some panels, genes + 1."""
    largest = np.zeros(panels.shape[1:], dtype=np.float32)
    for panel in panels:
        for row in range(panels.shape[1]):
            for lane in range(LANES):
                largest[row, lane] = max(largest[row, lane], abs(panel[row, lane]))
    reach = np.zeros(len(largest), dtype=np.float32)
    for row in range(len(largest)):
        reach[row] = largest[row].max()
    return reach
