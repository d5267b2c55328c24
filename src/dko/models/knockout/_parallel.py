"""Compiled work on several threads."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numba

from ._compile import announced

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    T = TypeVar("T")


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


def in_parallel(work: Callable[[T], object], pieces: Sequence[T]) -> None:
    """Do `work`, which lets go of Python's lock, on every piece.

    These are plain threads: they need no set-up of numba's own, which forked processes do not survive.
    """
    with announced():
        if n_threads() == 1 or len(pieces) < 2:
            for piece in pieces:
                work(piece)
            return
        pool = ThreadPoolExecutor(n_threads())
        try:
            for _ in pool.map(work, pieces):
                pass
        finally:
            # After an interrupt the pieces that nobody has begun are left; no thread goes on after the call.
            pool.shutdown(cancel_futures=True)
