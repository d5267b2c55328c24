"""The loops of a scan: over the present genes j of a cell, for sixteen knocked-out genes g at a time.

A panel is a table, genes x 16, of what the map has for sixteen genes. Its rows at the present genes of a cell are whole
vectors, so that nothing is gathered number by number; the price is that lanes of genes which the cell lacks are
computed and thrown away.

Everything that is compiled from `_vector.py` is in this file: numba's cache on disk looks at the time of one file only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit
from numba.core import types
from numba.extending import intrinsic

from ._vector import LANES, Array, Vector, constant, spread, sum_over

if TYPE_CHECKING:
    from collections.abc import Callable

# A profile whose outputs add up to less is empty.
_TINY = 1e-30


def _softplus(raw: Vector) -> Vector:
    """max(x, 0) + log(1 + u) with u = exp(-|x|); log(1 + u) = 2 artanh(t), t = u / (2 + u) <= 1/3, by its series."""
    u = _exp(abs(raw) * -1.0)
    t = u / (u + 2.0)
    square = t * t
    series = square * (1 / 17) + (1 / 15)
    for odd in (13, 11, 9, 7, 5, 3, 1):
        series = series * square + 1 / odd
    return raw.maximum(0.0) + t * series * 2.0


def _exp(raw: Vector) -> Vector:
    """2^k exp(f) with whole k and |f| <= log(2) / 2; the series of exp(f) ends where float32 does."""
    x = raw.exact()
    x = x.maximum(-87.0)
    x = (x * -1.0).maximum(-88.0) * -1.0
    k = (x * 1.44269504088896341).rounded()
    # log(2) in two parts, the first exact in float32 even after it is multiplied by k.
    f = x - k * 0.693359375 + k * 2.12194440e-4
    series = f * (1 / 5040) + (1 / 720)
    for factorial in (120, 24, 6, 2, 1, 1):
        series = series * f + 1 / factorial
    return Vector(raw.builder, (series * k.power_of_two()).value)


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


def _impacts_with(link: Callable[[Vector], Vector], *, weighted: bool = True) -> Any:
    @intrinsic
    def lane_impacts(
        typing: Any,
        panel: Any,
        genes: Any,
        base: Any,
        weights: Any,
        profile: Any,
        start: Any,
        n: Any,
        slope: Any,
        kept: Any,
        own: Any,
        own_profile: Any,
        lane: Any,
        impacts: Any,
    ) -> Any:
        """Write to ``impacts[lane : lane + 16]`` the impacts of knocking out the genes of a panel in one cell.

        The cell has the present genes j from `start` to ``start + n``. Without gene g the output of j is
        h_j = weights_j link(base_j - slope panel_jg); of that of g itself, ``own``, the share `kept` stays. Impact -1
        says that g makes up most of the profile: what a subtraction leaves of it is not exact then. The outputs are
        computed anew in the second loop: to keep them would take more of the cache than they take time.
        """

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            arrays = _arrays(context, builder, signature, args)
            table, *by_gene, first, length, factor, share_kept, own_all, own_before, at, result = arrays
            rows, bases, weight, before = (array.from_(first) for array in by_gene)
            step, stays, one = spread(builder, factor), spread(builder, share_kept), constant(builder, 1.0)

            def output(j: Any) -> Vector:
                h = link(bases.spread(j) - step * _row(table, rows, j))
                return h * weight.spread(j) if weighted else h

            h_own, q_own = own_all.vector(at), own_before.vector(at)
            total = sum_over(builder, length, output) - h_own + h_own * stays
            scale = one / total.maximum(_TINY)

            def distance(j: Any) -> Vector:
                return abs(output(j) * scale - before.spread(j))

            p_own = h_own * scale
            apart = sum_over(builder, length, distance) - abs(p_own - q_own) + abs(p_own * stays - q_own)
            result.store(at, (apart * 0.5).where(total.above(h_own.maximum(_TINY)), -1.0))
            return context.get_dummy_value()

        arrays = (panel, genes, base, weights, profile, start, n, slope, kept, own, own_profile, lane, impacts)
        return types.void(*arrays), generate

    return lane_impacts


# The link of the paper, whose cells keep nothing of their own, saves a multiplication.
abs_impacts = _impacts_with(abs, weighted=False)
weighted_abs_impacts = _impacts_with(abs)
softplus_impacts = _impacts_with(_softplus)
exp_impacts = _impacts_with(_exp)


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
    link: int,
    weighted: bool,
    panels: np.ndarray,
    first: int,
    genes: np.ndarray,
    starts: np.ndarray,
    base: np.ndarray,
    weights: np.ndarray,
    profile: np.ndarray,
    slope: np.ndarray,
    kept: float,
    panel_of: np.ndarray,
    cell_of: np.ndarray,
    own: np.ndarray,
    own_profile: np.ndarray,
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
        arguments = (
            panel,
            genes,
            base,
            weights,
            profile,
            starts[cell],
            starts[cell + 1] - starts[cell],
            slope[cell],
            kept,
            own,
            own_profile,
            element * LANES,
            impacts,
        )
        if link == 0 and not weighted:
            abs_impacts(*arguments)
        elif link == 0:
            weighted_abs_impacts(*arguments)
        elif link == 1:
            softplus_impacts(*arguments)
        else:
            exp_impacts(*arguments)
