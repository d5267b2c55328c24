"""Compiled work on several threads."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numba

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeVar

    T = TypeVar("T")
    R = TypeVar("R")


def n_threads() -> int:
    """Return how many threads to use: as many as numba and, where it is loaded, torch are allowed."""
    try:
        # To ask for the number would start numba's own threads, which forked processes do not survive.
        numba.threading_layer()
    except ValueError:
        allowed = numba.config.NUMBA_NUM_THREADS
    else:
        allowed = numba.get_num_threads()
    torch = sys.modules.get("torch")
    return allowed if torch is None else min(allowed, torch.get_num_threads())


def in_parallel(work: Callable[[T], R], pieces: Iterable[T], done: Callable[[R], object] = lambda found: None) -> None:
    """Do `work` on every piece in plain threads, which survive forks unlike numba's; tell `done` what it returns."""
    pool = ThreadPoolExecutor(n_threads())
    try:
        for found in pool.map(work, pieces):
            done(found)
    finally:
        # After an interrupt the pieces that nobody has begun are left; no thread goes on after the call.
        pool.shutdown(cancel_futures=True)
