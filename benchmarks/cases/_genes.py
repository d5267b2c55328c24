"""Cases of very many genes: fits, and fits with a scan, of which whole ones take minutes and gigabytes."""

from __future__ import annotations

from .._case import Case, Contestant, number, seconds

_FIT, _BOTH = "dko.tl.fit", "dko.tl.fit and dko.tl.scan"
_NOTE = " Wall and CPU time are of the fit or of both; the peak is that of the process, with the cells and all imports."


def _case(
    name: str, title: str, cells: str, n_genes: int, *, n_cells: int | None = None, scan: bool = False,
    most_seconds: int | None = None, most_memory: int | None = None, named: bool = False, note: str = "",
) -> Case:  # fmt: skip
    who = _BOTH if scan else _FIT
    arguments = {"cells": cells, "n_genes": n_genes, "scan": scan, "n_cells": n_cells}
    return Case(
        name,
        title,
        [Contestant(who, "contestants.fit:many_genes", arguments, {"n_genes": 40, "n_cells": None}, threads=None)],
        [
            seconds(f"time of {who}", who, at_most=most_seconds),
            number("peak memory", who, "peak", unit="MB", at_most=most_memory),
        ],
        inputs=[cells],
        repeats=1 if named else 3,
        named=named,
        note=f"{note}{_NOTE}".strip(),
    )


_SIMULATED = "Simulated counts of ten types of cells, about 1,400 genes in a cell."
CASES = [
    _case(
        "genes_5000", "Default fit of PBMC 3k, 5,000 variable genes", "pbmc", 5_000, most_seconds=12, most_memory=1_000
    ),
    _case(
        "genes_short", "Fit and scan of 700 cells of PBMC 3k, all their genes", "pbmc", 20_000, n_cells=700, scan=True,
        note="A short version of `genes_all`.",
    ),
    _case(
        "genes_all", "Fit and scan of PBMC 3k, all 13,714 genes", "pbmc", 13_714, scan=True, most_seconds=75,
        most_memory=4_000, named=True,
    ),
    _case(
        "genes_20000", "Fit and scan of 3,000 simulated cells, all 20,000 genes", "many_genes", 20_000, scan=True,
        most_seconds=180, most_memory=6_000, named=True, note=_SIMULATED,
    ),
]  # fmt: skip
