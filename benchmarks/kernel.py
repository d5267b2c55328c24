"""The one place that names the compiled kernel, so that the cases that time it by itself need not know it."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from unittest import mock

from dko._core.knockouts import open_model
from dko.models.knockout import kernels, scan

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

    from dko.models.dko.model import DkoModel


def single_knockouts(cells: AnnData) -> Callable[..., object]:
    """Return a call that makes all single knockouts of fitted cells: from a CSR matrix to an array of impacts."""
    opened = open_model(cells, "dko", "rna")
    ((model, _, values),) = opened.whole.parts(opened.model)
    return partial(scan, cast("DkoModel", model).map, values)


def seconds_in_loops(call: Callable[[], object]) -> float:
    """Return the seconds that a call spends in the loops over knockouts themselves, on one thread."""
    seconds = 0.0

    def timed(loops: Callable[..., int]) -> Callable[..., int]:
        def run(*args: Any) -> int:
            nonlocal seconds
            start = time.perf_counter()
            done = loops(*args)
            seconds += time.perf_counter() - start
            return done

        return run

    with mock.patch.object(kernels, "scan_cells", timed(kernels.scan_cells)):
        call()
    return seconds
