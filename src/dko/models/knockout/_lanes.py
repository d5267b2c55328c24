"""The loops of a scan: over the present genes j of a cell, for sixteen knocked-out genes g at a time.

A panel is a table, genes x 16, of what the map has for sixteen genes. Its rows at the present genes of a cell are whole
vectors, so that nothing is gathered number by number; the price is that lanes of genes which the cell lacks are
computed and thrown away.

Everything that is compiled from `_vector.py` is in this file: numba's cache on disk looks at the time of one file only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numba.core import types
from numba.extending import intrinsic

from ._vector import LANES, Array, Vector, constant, spread, sum_over

# A profile whose outputs add up to less is empty.
_TINY = 1e-30


def _arrays(context: Any, builder: Any, signature: Any, args: Any) -> list[Any]:
    """Return the arguments of a compiled function, the arrays among them wrapped."""
    pairs = zip(signature.args, args, strict=True)
    return [
        Array(builder, context.make_array(kind)(context, builder, arg).data) if isinstance(kind, types.Array) else arg
        for kind, arg in pairs
    ]


@intrinsic
def lane_sums(typing: Any, panel: Any, genes: Any, start: Any, n: Any, sums: Any, lane: Any) -> Any:
    """Write to ``sums[lane : lane + 16]`` the sum of the rows ``genes[start : start + n]`` of a panel."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        table, rows, start, n, sums, lane = _arrays(context, builder, signature, args)
        rows = rows.from_(start)
        sums.store(lane, sum_over(builder, n, lambda j: _row(table, rows, j)))
        return context.get_dummy_value()

    return types.void(panel, genes, start, n, sums, lane), generate


def _row(table: Array, rows: Array, j: Any) -> Vector:
    builder = table.builder
    gene = builder.zext(rows.scalar(j), j.type)
    return table.vector(builder.mul(gene, j.type(LANES)))


@intrinsic
def lane_impacts(
    typing: Any,
    panel: Any,
    genes: Any,
    base: Any,
    shares: Any,
    start: Any,
    n_plus: Any,
    n_minus: Any,
    n_turning: Any,
    steady_size: Any,
    turning_size: Any,
    dose: Any,
    own: Any,
    own_share: Any,
    lane: Any,
    impacts: Any,
) -> Any:
    """Write to ``impacts[lane : lane + 16]`` the impacts of knocking out the genes of a panel in one cell.

    The cell has the present genes j from `start` on. Without gene g the output of j is
    h_j = | base_j - dose panel_jg |; of that of g itself, ``own``, the share 1 - `dose` stays. The outputs are computed
    anew in the second loop: to keep them would take more of the cache than they take time.

    Of steady genes, `n_plus` have a base that stays positive and `n_minus` one that stays negative. What they lose is
    +-dose panel_jg. If all outputs lose L of their sum S, a share p_j moves by | panel_jg -+ p_j L / dose | in units of
    dose / (S - L): half the arithmetic, and no subtraction of two numbers nearly the same. ``shares`` has the sign of
    the base there.

    Impact -1 says that g makes up most of the profile, and what a subtraction leaves of it is not exact.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        table, *by_gene, first, plus, minus, n_rest, size, rest, share, own_h, own_p, at, result = _arrays(
            context, builder, signature, args
        )
        n_steady = builder.add(plus, minus)
        removed, one = spread(builder, share), constant(builder, 1.0)
        rows, base, before = (array.from_(builder.add(first, n_steady)) for array in by_gene)
        steady_rows, _, steady_before = (array.from_(first) for array in by_gene)

        def output(j: Any) -> Vector:
            return abs(base.spread(j) - removed * _row(table, rows, j))

        def loss(j: Any) -> Vector:
            return _row(table, steady_rows, j)

        h_own, q_own = own_h.vector(at), own_p.vector(at)
        total = sum_over(builder, n_rest, output) - h_own * removed
        lost = sum_over(builder, plus, loss) - sum_over(builder, minus, lambda j: loss(builder.add(plus, j)))
        lost = removed * lost + (spread(builder, rest) - total)
        total = spread(builder, size) + spread(builder, rest) - lost
        lost_per_dose = lost / removed
        scale = one / total.maximum(_TINY)

        def distance(j: Any) -> Vector:
            return abs(output(j) * scale - before.spread(j))

        def steady_distance(j: Any) -> Vector:
            return abs(loss(j) - steady_before.spread(j) * lost_per_dose)

        p_own = h_own * scale
        apart = sum_over(builder, n_rest, distance)
        apart = apart + sum_over(builder, n_steady, steady_distance) * (removed * scale)
        apart = apart - abs(p_own - q_own) + abs(p_own * (one - removed) - q_own)
        result.store(at, (apart * 0.5).where(total.above(h_own.maximum(_TINY)), -1.0))
        return context.get_dummy_value()

    arrays = (panel, genes, base, shares, start, n_plus, n_minus, n_turning)
    return types.void(*arrays, steady_size, turning_size, dose, own, own_share, lane, impacts), generate


@njit(nogil=True, cache=True)
def by_panel(panel_of: np.ndarray, first: int, n_panels: int) -> np.ndarray:
    """Return the elements whose panel is one of the `n_panels` from `first`, panel by panel."""
    edges = np.zeros(n_panels + 1, dtype=np.int64)
    for panel in panel_of:
        if first <= panel < first + n_panels:
            edges[panel - first + 1] += 1
    edges = np.cumsum(edges)
    found = np.empty(edges[-1], dtype=np.int64)
    for element, panel in enumerate(panel_of):
        if first <= panel < first + n_panels:
            found[edges[panel - first]] = element
            edges[panel - first] += 1
    return found


@njit(nogil=True, cache=True)
def fetch(panel: np.ndarray, fetched: np.ndarray) -> None:
    """Read a panel from one end to the other, which brings it into the cache: row by row, here and there, is slower.

    Where the sum of what was read is written does not matter, only that the compiler must keep it.
    """
    total = np.float32(0)
    for row in range(len(panel)):
        total += panel[row, 0]
    fetched[0] = total


@njit(nogil=True, cache=True)
def sum_panels(
    panels: np.ndarray,
    first: int,
    genes: np.ndarray,
    starts: np.ndarray,
    panel_of: np.ndarray,
    cell_of: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Write the sums over the present genes into the lanes of those elements of `panel_of` whose panels are here."""
    last, fetched = -1, np.empty(1, dtype=np.float32)
    for element in by_panel(panel_of, first, len(panels)):
        cell = cell_of[element]
        panel = panels[panel_of[element] - first]
        if panel_of[element] != last:
            fetch(panel, fetched)
            last = panel_of[element]
        lane_sums(panel, genes, starts[cell], starts[cell + 1] - starts[cell], sums, element * LANES)


@njit(nogil=True, cache=True)
def knock_out_panels(
    panels: np.ndarray,
    first: int,
    panel_of: np.ndarray,
    cell_of: np.ndarray,
    genes: np.ndarray,
    edges: np.ndarray,
    base: np.ndarray,
    shares: np.ndarray,
    steady_size: np.ndarray,
    turning_size: np.ndarray,
    dose: float,
    own: np.ndarray,
    own_share: np.ndarray,
    impacts: np.ndarray,
) -> None:
    """Write the impacts into the lanes of those elements of `panel_of` whose panels are here."""
    last, fetched = -1, np.empty(1, dtype=np.float32)
    for element in by_panel(panel_of, first, len(panels)):
        cell = cell_of[element]
        panel = panels[panel_of[element] - first]
        if panel_of[element] != last:
            fetch(panel, fetched)
            last = panel_of[element]
        start, minus, turning, stop = edges[3 * cell : 3 * cell + 4]
        lane_impacts(
            panel,
            genes,
            base,
            shares,
            start,
            minus - start,
            turning - minus,
            stop - turning,
            steady_size[cell],
            turning_size[cell],
            np.float32(dose),
            own,
            own_share,
            element * LANES,
            impacts,
        )
