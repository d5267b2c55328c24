"""What a user waits for before anything runs: imports, and kernels that compile.

Only the standard library at the top: what it loads would not be measured.
"""

from __future__ import annotations

import os
import shutil
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from .._measure import measure

_HEAVY = ("torch", "scanpy.pl", "scanpy.plotting", "numba", "matplotlib", "lightning_fabric")


def packages(names: list[str]) -> dict[str, Any]:
    """Import packages; count the heavy ones that came with them."""
    figures = measure(lambda: [import_module(name) for name in names])
    loaded = [heavy for heavy in _HEAVY if heavy in sys.modules]
    return {**figures, "modules": len(sys.modules), "heavy": len(loaded), "heavy names": loaded}


def first_calls(inputs: str, compiled: bool) -> dict[str, float]:
    """Make the first knockouts of every kind in a few cells, with the kernels of an earlier process or without."""
    cache = Path(inputs) / "numba"
    if not compiled:
        shutil.rmtree(cache, ignore_errors=True)
    # numba reads it when it is imported.
    os.environ["NUMBA_CACHE_DIR"] = str(cache)
    for heavy in ("torch", "numba"):
        import_module(heavy)
    dko, read = import_module("dko"), import_module("benchmarks.inputs").read
    cells = read(inputs, "reference")[:20].copy()

    def work() -> None:
        dko.tl.scan(cells)
        dko.tl.double_ko(cells, n_samples=100)
        dko.tl.virtual_ko(cells, list(cells.var_names[:1]))

    return measure(work)
