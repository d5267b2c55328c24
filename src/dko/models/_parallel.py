"""Compiled work on several threads, and a word to the user before a function is compiled."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numba
from numba.core import event

from .._core.messages import say
from .._core.process import is_alone, uninterrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeVar

    T = TypeVar("T")
    R = TypeVar("R")


def n_threads() -> int:
    """Return how many threads to use: as many as numba and, where it is loaded, torch are allowed; one when alone."""
    if is_alone():
        return 1
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
    pieces = list(pieces)
    with event.install_listener("numba:compile", _Announcer()):
        if n_threads() == 1 or len(pieces) < 2:
            for piece in pieces:
                done(work(piece))
            return
        pool = ThreadPoolExecutor(n_threads())
        try:
            for found in pool.map(work, pieces):
                done(found)
        finally:
            # After an interrupt the pieces that nobody has begun are left; no thread goes on after the call.
            with uninterrupted():
                pool.shutdown(cancel_futures=True)


class _Announcer(event.Listener):
    """Says it if something of this package is compiled, and not found in numba's cache."""

    said = False

    def on_start(self, happening: event.Event) -> None:
        if not _Announcer.said and happening.data["dispatcher"].py_func.__module__.startswith(__package__):
            _Announcer.said = True
            say("Compiling the knockout engine: a few seconds, once on this machine.")

    def on_end(self, happening: event.Event) -> None:
        pass
