"""A word to the user before a function is compiled, which happens once on a machine."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from numba.core import event

from ..._core.messages import say

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Announcer(event.Listener):
    said = False

    def on_start(self, happening: event.Event) -> None:
        if not _Announcer.said and happening.data["dispatcher"].py_func.__module__.startswith(__package__):
            _Announcer.said = True
            say("Compiling the knockout engine: a few seconds, once on this machine.")

    def on_end(self, happening: event.Event) -> None:
        pass


@contextmanager
def announced() -> Iterator[None]:
    """Say it if something of this package is compiled inside the block, and not found in numba's cache."""
    with event.install_listener("numba:compile", _Announcer()):
        yield
