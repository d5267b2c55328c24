"""What the package says to its user: one line at a time, through logging where the user has set it up."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from ._settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

logger = logging.getLogger("dko")
T = TypeVar("T")

# Whether the call of the user, in this thread, shows progress bars.
_shown: ContextVar[bool] = ContextVar("dko_progress", default=True)
# Rewords messages, on the command line.
_wording: ContextVar[Callable[[str], str]] = ContextVar("dko_wording", default=str)


def say(message: str) -> None:
    """Tell the user what was chosen or done.

    Goes to the ``dko`` logger when somebody listens there at level INFO, otherwise to stderr, so that the message is
    seen in a notebook without this library touching the handlers of the host application.
    """
    message = _wording.get()(message)
    if logger.isEnabledFor(logging.INFO):
        logger.info(message)
    elif settings.verbosity >= 1:
        sys.stderr.write(f"{message}\n")


@contextmanager
def worded(wording: Callable[[str], str]) -> Iterator[None]:
    """Reword all messages inside the block."""
    before = _wording.set(wording)
    try:
        yield
    finally:
        _wording.reset(before)


@contextmanager
def bars(*, shown: bool) -> Iterator[None]:
    """Show no progress bars inside the block unless `shown`, whatever `progress` the functions called there have."""
    before = _shown.set(_shown.get() and shown)
    try:
        yield
    finally:
        _shown.reset(before)


def bar(items: Iterable[T] | None = None, *, total: int, description: str, unit: str, **how: Any) -> Any:
    """Return a progress bar, which shows nothing where the user wants none."""
    from tqdm.auto import tqdm

    hidden = not _shown.get() or settings.verbosity < 1
    # Without the thread that tqdm starts to watch over bars, and never ends; each update is looked at instead.
    unwatched = type("Bar", (tqdm,), {"monitor_interval": 0})
    return unwatched(items, total=total, desc=description, unit=unit, disable=hidden, miniters=1, **how)


def progress(items: Iterable[T], *, total: int, description: str, unit: str) -> Iterator[T]:
    """Show a progress bar over `items`, once the job has taken longer than a second."""
    return iter(bar(items, total=total, description=description, unit=unit, delay=1.0))


@contextmanager
def progress_of(total: int, *, description: str, unit: str) -> Iterator[Callable[[int], object]]:
    """Show a progress bar, once the job has taken longer than a second; what it yields takes how much more is done."""
    with bar(total=total, description=description, unit=unit, unit_scale=True, delay=1.0, leave=False) as shown:
        yield shown.update
