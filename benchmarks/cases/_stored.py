"""Cases of cells that stay on disk: memory that does not grow with them, time that grows as they do."""

from __future__ import annotations

from .._case import Case, Claim, Contestant, Round, number

_CELLS = {"stored": "20,000 cells", "stored_5": "100,000 cells", "stored_50": "1,000,000 cells"}
_CALLS = {"rank": "dko.tl.rank_genes", "report": "dko.io.write_report"}


def _slope(call: str, few: str, many: str) -> Claim:
    """Claim how many times the time per cell of few is that of many."""

    def value(outcomes: Round) -> float:
        one, other = outcomes[f"{call}, {_CELLS[few]}"], outcomes[f"{call}, {_CELLS[many]}"]
        return (other["wall"] / other["work"]) / (one["wall"] / one["work"])

    return Claim(f"{call}: time per cell of {_CELLS[many]} over that of {_CELLS[few]}", value, at_most=1.1)


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
            *(_slope(call, few, many) for call in _CALLS.values()),
        ],
        inputs=list(sizes),
        repeats=1,
        note="Simulated counts in zarr, read lazily; the model was fitted to the first 5,000 cells, the scan lies in a "
        "store of its own. The peak is that of the process, with its imports and the scan, if it has made that.",
    )


CASES = [_case("stored", "stored", "stored_5"), _case("stored_long", "stored_5", "stored_50")]
