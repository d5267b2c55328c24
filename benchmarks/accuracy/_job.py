"""Pieces of work that do not depend on each other, side by side in processes."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any, TypeAlias

import pandas as pd

from ._row import Row, settle
from ._targets import Target

Found: TypeAlias = Sequence[Row | Target]
Job: TypeAlias = tuple[Callable[..., Found], dict[str, Any]]
"""A function of a module, and its keywords."""
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def run(jobs: Sequence[Job], workers: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Run all jobs, a process and a thread for each of `workers`; return rows and targets in the order of the jobs.

    A single worker is this process.
    """
    if workers == 1:
        settle()
        return _tables(function(**keywords) for function, keywords in jobs)
    for variable in _THREADS:
        os.environ.setdefault(variable, "1")
    start = time.perf_counter()
    spawn = multiprocessing.get_context("spawn")
    results: dict[int, Found] = {}
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=spawn, initializer=settle) as pool:
        futures = {pool.submit(function, **keywords): number for number, (function, keywords) in enumerate(jobs)}
        for future in as_completed(futures):
            number = futures[future]
            results[number] = future.result()
            which = ", ".join(str(value) for value in jobs[number][1].values())
            minutes = (time.perf_counter() - start) / 60
            print(f"{len(results)}/{len(jobs)} after {minutes:.1f} min: {which}", file=sys.stderr, flush=True)
    return _tables(results[number] for number in sorted(results))


def _tables(results: Iterable[Found]) -> tuple[pd.DataFrame, pd.DataFrame]:
    found = [row for result in results for row in result]
    rows, targets = ([row for row in found if isinstance(row, kind)] for kind in (Row, Target))
    return pd.DataFrame(rows, columns=Row._fields), pd.DataFrame(targets, columns=Target._fields)
