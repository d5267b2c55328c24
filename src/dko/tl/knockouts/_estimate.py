"""How much work a scan will be: told before it begins."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..._core.messages import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from scipy import sparse

    from ..._core.knockouts import Task
    from ...models.knockout import Engine

# Cells that are looked at, and bytes of an entry of a CSR matrix.
_SAMPLE, _ENTRY = 64, 8

# Pairs of a knocked-out and another gene that a slow machine works off in a second: with fewer, nothing is said.
_LONG = 1e9


@dataclass(frozen=True)
class Estimate:
    """What a long job will take.

    Attributes
    ----------
    n_knockouts, n_cells
        Knockouts, about, and cells.
    seconds
        Time, measured on a few of the cells; None where it is too short to measure.
    n_bytes
        Size of the result.
    """

    n_knockouts: int
    n_cells: int
    seconds: float | None
    n_bytes: int

    def tell(self, what: str) -> None:
        """Tell the user about a long job."""
        if self.seconds is not None:
            say(
                f"About {self.n_knockouts:,} {what} in {self.n_cells:,} cells: about {_duration(self.seconds)} and "
                f"{self.n_bytes / 2**20:,.0f} MiB of results."
            )


def estimate(task: Task, block: sparse.csr_matrix, wanted: np.ndarray, engine: Engine) -> Estimate:
    """Take the first block of cells of a scan for all of them, and time some of its knockouts if all will take long."""
    usable = np.flatnonzero(task.cells[: block.shape[0]])
    n_cells = int(task.cells.sum())
    if not len(usable):
        return Estimate(0, n_cells, None, 0)
    sizes = np.diff(block.indptr)
    asked = sizes if wanted.all() else np.diff(np.append(0, np.cumsum(wanted[block.indices]))[block.indptr])
    times = n_cells / len(usable)
    seconds = None
    if times * float(asked[usable] @ sizes[usable].astype(float)) > _LONG:
        affine, sample = task.fitted.effects(int(task.models[usable[0]])), block[usable[:_SAMPLE]]
        seconds = time_of(lambda n: engine.scan(affine, sample[:n], wanted=wanted), sample.shape[0], n_cells)
    n_knockouts = round(times * float(asked[usable].sum()))
    return Estimate(n_knockouts, n_cells, seconds, _ENTRY * n_knockouts)


def time_of(work: Callable[[int], object], n_sample: int, n_all: int) -> float:
    """Return the seconds that ``work(n_all)`` will take, from what `n_sample` of it and what one takes."""

    def seconds(n: int) -> float:
        start = time.perf_counter()
        work(n)
        return time.perf_counter() - start

    work(1)  # compiles, where nothing has yet
    one, sample = seconds(1), seconds(n_sample)
    return one + max(0.0, sample - one) / max(1, n_sample - 1) * (n_all - 1)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
