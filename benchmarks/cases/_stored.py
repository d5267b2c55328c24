"""Cases of cells that stay on disk: memory that does not grow with them, time that grows as they do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

from .._case import Case, Claim, Contestant, Round, number
from ..inputs import STORED

_CELLS = {name: f"{n:,} cells" for name, n in STORED.items()}
_CALLS = {"rank": "dko.tl.rank_genes", "report": "dko.io.write_report"}


def _case(name: str, few: str, many: str) -> Case:
    sizes = (few, many)
    return Case(
        name,
        f"A scan on disk: ranking and report of {_CELLS[few]} and {_CELLS[many]} x 2,000 genes",
        [
            Contestant(f"{call}, {_CELLS[size]}", f"contestants.stored:{target}", {"cells": size}, threads=None)
            for target, call in _CALLS.items()
            for size in sizes
        ],
        [
            *(
                number(f"{call}, {_CELLS[size]}: {what}", f"{call}, {_CELLS[size]}", figure, unit=unit, at_most=bar)
                for call in _CALLS.values()
                for size in sizes
                for what, figure, unit, bar in (("time", "wall", "s", None), ("peak memory", "peak", "MB", 2_000))
            ),
            *(_rate(*(f"{call}, {_CELLS[size]}" for size in sizes)) for call in _CALLS.values()),
        ],
        inputs=list(sizes),
        repeats=1,
        note="Simulated counts in zarr, read lazily; the model was fitted to the first 5,000 cells, the scan lies in a "
        "store of its own. The peak is that of the process, with its imports and the scan, if it has made that.",
    )


def _streaming(name: str, sizes: tuple[str, ...], *, named: bool) -> Case:
    """Return the case of fits and scans; one size is also read into memory."""
    calls = {"fit": "dko.tl.fit", "scan": "dko.tl.scan"}
    contestants = [
        Contestant(
            f"{call}, {_CELLS[size]} {'in memory' if in_memory else 'on disk'}",
            f"contestants.stored:{target}",
            {"cells": size, "in_memory": in_memory},
            threads=None,
        )
        for target, call in calls.items()
        for size in sizes
        for in_memory in ((True, False) if size == _IN_MEMORY else (False,))
    ]
    claims = [
        number(f"{one.name}: {what}", one.name, figure, unit=unit, at_most=bar)
        for one in contestants
        for what, figure, unit, bar in (
            ("time", "wall", "s", None),
            ("CPU time", "cpu", "s", None),
            ("peak memory", "peak", "MB", None if one.arguments["in_memory"] else 2_000),
        )
    ]
    for call in calls.values():
        on_disk = [f"{call}, {_CELLS[size]} on disk" for size in sizes]
        both = (f"{call}, {_CELLS[_IN_MEMORY]} {where}" for where in ("in memory", "on disk"))
        claims += [_rate(*both, at_most=1.15), *(_rate(few, many) for few, many in pairwise(on_disk))]
    return Case(
        name,
        f"Cells on disk: fits and scans of {' and '.join(_CELLS[size] for size in sizes)} x 2,000 genes",
        contestants,
        claims,
        inputs=list(sizes),
        repeats=1,
        named=named,
        note="Simulated counts in zarr, read lazily. A fit is of all cells with all defaults: the network takes up to "
        "5,000 steps, however many cells there are, and 50,000 of them are permuted for the null, so that the time "
        "per cell falls. A scan makes both kinds of impacts, from disk to a zarr store.",
    )


def _rate(one: str, other: str, *, at_most: float = 1.1) -> Claim:
    """Claim how many times the time per cell of one contestant that of another is."""

    def value(clock: str) -> Callable[[Round], float]:
        return lambda outcomes: (
            (outcomes[other][clock] / outcomes[other]["work"]) / (outcomes[one][clock] / outcomes[one]["work"])
        )

    return Claim(f"{other}: time per cell over that of {one}", value("wall"), value("cpu"), at_most=at_most)


# Small enough for memory, and large enough for times to tell.
_IN_MEMORY = "stored_5"

CASES = [
    _streaming("streaming", ("stored_half", "stored_5"), named=False),
    _streaming("streaming_long", ("stored_half", "stored_5", "stored_50"), named=True),
    _case("stored", "stored", "stored_5"),
    replace(_case("stored_long", "stored_5", "stored_50"), named=True),
]
