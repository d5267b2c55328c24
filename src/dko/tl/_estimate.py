"""How much work a scan will be: told before it begins."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .._fitted import read_presence
from .._log import say

if TYPE_CHECKING:
    from .._engine import Task
    from ..models.knockout import Engine

# Cells that are looked at, and bytes of an entry of a CSR matrix.
_SAMPLE, _ENTRY = 64, 8

# Pairs of a knocked-out and another gene that a slow machine works off in a second: with fewer, nothing is said.
_LONG = 1e9


@dataclass(frozen=True)
class Estimate:
    """What a scan will take.

    Attributes
    ----------
    n_knockouts, n_cells
        Knockouts, about, and cells.
    seconds
        Time, measured on a few of the cells; None where it is too short to measure.
    """

    n_knockouts: int
    n_cells: int
    seconds: float | None

    @property
    def n_bytes(self) -> int:
        """Size of the impacts as a CSR matrix."""
        return _ENTRY * self.n_knockouts

    def tell(self) -> None:
        """Tell the user about a long job."""
        if self.seconds is not None:
            say(
                f"About {self.n_knockouts:,} knockouts in {self.n_cells:,} cells: about {_duration(self.seconds)} and "
                f"{self.n_bytes / 2**20:,.0f} MiB of impacts."
            )


def estimate(task: Task, wanted: np.ndarray, engine: Engine) -> Estimate:
    """Look at a few cells, and time their knockouts if all will take long."""
    rows = np.flatnonzero(task.cells)
    if not len(rows):
        return Estimate(0, 0, None)
    sample = rows[np.unique(np.linspace(0, len(rows) - 1, _SAMPLE).astype(int))]
    presence = read_presence(task.adata[sample], task.fitted)
    asked = np.add.reduceat(np.append(wanted[presence.indices], False), presence.indptr[:-1], dtype=np.int64)
    asked[np.diff(presence.indptr) == 0] = 0
    times = len(rows) / len(sample)
    seconds = None
    if times * float((asked * np.diff(presence.indptr)).sum()) > _LONG:
        affine = task.fitted.affine(int(task.models[sample[0]]))
        # The first time includes compilation.
        for _ in range(2):
            start = time.perf_counter()
            engine.scan(affine, presence, wanted=wanted)
            seconds = times * (time.perf_counter() - start)
    return Estimate(round(times * int(asked.sum())), len(rows), seconds)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
